// Draws the updates a second on SQLite as an SVG: a group of two bars for each target, NORMAL and FULL. It follows the dark mode of a browser.

import { median, runsOf, speed } from './ratios.js'
import type { ScenarioResult } from './run.js'

// In pixels. The edges are those of the bars.
const size = { width: 720, height: 320 }
const edges = { left: 60, top: 70, bottom: 280 }
const barWidth = 80
const barGap = 4
const groupGap = 60
const shownTargets = ['by hand', 'plain Kysely', 'plugin'] as const

export function drawChart (normal: ScenarioResult, full: ScenarioResult): string {
  const { width, height } = size
  const { left, top, bottom } = edges
  const groups = shownTargets.map((name) => ({
    name,
    speeds: [normal, full].map((result) => median(runsOf(result, name).map(speed)))
  }))
  const highest = Math.max(...groups.flatMap(({ speeds }) => speeds))
  const parts = groups.map(({ name, speeds }, index) => {
    const start = left + index * (2 * barWidth + groupGap)
    const bars = speeds.map((perSecond, bar) => {
      const x = start + bar * (barWidth + barGap)
      const length = Math.round((bottom - top) * perSecond / highest)
      return `  <rect class="${bar === 0 ? 'normal' : 'full'}" x="${x}" y="${bottom - length}" width="${barWidth}" height="${length}" rx="3"/>
  <text x="${x + barWidth / 2}" y="${bottom - length - 6}">${Math.round(perSecond).toLocaleString('en')}</text>`
    })
    return `${bars.join('\n')}\n  <text class="head" x="${start + barWidth + barGap / 2}" y="${bottom + 22}">${name === 'plugin' ? 'this plugin' : name}</text>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
  <title>Updates a second on SQLite</title>
  <style>
    text { font: 14px system-ui, sans-serif; fill: #1f2328; text-anchor: middle } .head { font-weight: 600 } .key { text-anchor: start }
    .normal { fill: #0969da } .full { fill: #afb8c1 }
    @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .normal { fill: #4493f8 } .full { fill: #6e7681 } }
  </style>
  <text class="head key" x="${left}" y="20">Updates a second on SQLite: 10,000 contacts, 32 connections</text>
  <rect class="normal" x="${left}" y="32" width="12" height="12"/><text class="key" x="${left + 18}" y="43">synchronous = NORMAL</text>
  <rect class="full" x="${left + 200}" y="32" width="12" height="12"/><text class="key" x="${left + 218}" y="43">synchronous = FULL</text>
${parts.join('\n')}
</svg>
`
}
