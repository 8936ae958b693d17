import { writeFileSync } from 'node:fs'
import { breaksOf, recordedShapes, shapesOfToday, shapesPath } from './event-shapes.ts'

/** Records what today's schemas accept: new types and versions, and keys that may be left out. Nothing else is changed. */
const shapes = recordedShapes()
for (const [name, lines] of shapesOfToday()) {
  const breaks = breaksOf(shapes.get(name) ?? lines, lines)
  if (breaks.length > 0) {
    process.stderr.write(`${name} accepts something else than what was recorded:\n${breaks.join('\n')}\n`)
    process.stderr.write('Give it a new version: one more upcaster, and a fixture of it.\n')
    process.exitCode = 1
  } else shapes.set(name, [...lines])
}
const blocks = [...shapes].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, lines]) => [name, ...lines].join('\n'))
writeFileSync(shapesPath, `${blocks.join('\n\n')}\n`)
