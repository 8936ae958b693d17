const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']

/** Such as `812 bytes` or `4.2 MiB`. */
export function sizeText(bytes: number): string {
  let [value, unit] = [bytes, 0]
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}
