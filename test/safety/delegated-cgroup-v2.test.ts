import { safetySuite } from './suite.ts'

await safetySuite('delegated cgroup v2')
