/** Runs once around the whole suite. */
export default function setup(): void {}
