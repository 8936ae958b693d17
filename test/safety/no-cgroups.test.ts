import { safetySuite } from './suite.ts'

await safetySuite('no cgroups')
