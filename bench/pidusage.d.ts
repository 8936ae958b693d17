declare module 'pidusage' {
  export default function pidusage(pids: number[]): Promise<Record<number, { cpu: number; memory: number }>>
  export function clear(): void
}
