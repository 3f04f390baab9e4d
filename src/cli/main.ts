#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { run } from './program.js'

// scripts/build-cli.js puts these beside this file.
const readAsset = (name: string): Buffer => readFileSync(new URL(`documentation/${name}.gz`, import.meta.url))

process.exitCode = await run(process.argv.slice(2), Object.assign(process, { readAsset }))
