import { safetySuite } from './suite.ts'

await safetySuite('cgroup v2')
