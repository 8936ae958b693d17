#!/usr/bin/env node
import { run } from '../bootstrap/run.mjs'

run('src/main.ts', process.argv.slice(2))
