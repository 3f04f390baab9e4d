// A bar for each contestant, in an SVG that is light or dark as its reader is.

import type { Report } from './report.js'
import { median, speed } from './ratios.js'

const [width, left, barHeight, gap, top] = [720, 130, 22, 10, 40]

export function chart ({ form, full }: Pick<Report, 'form' | 'full'>): string {
  const bars = [form, full].flatMap(({ entrants, rounds }) => entrants.map(({ contestant, synchronous }, index) => ({
    contestant, synchronous, perSecond: median((rounds[index] ?? []).map(speed))
  }))).filter(({ contestant }) => contestant !== 'ceiling')
  const longest = Math.max(...bars.map(({ perSecond }) => perSecond))
  const height = top + bars.length * (barHeight + gap)
  const lines = bars.map(({ contestant, synchronous, perSecond }, index) => {
    const y = top + index * (barHeight + gap)
    const length = Math.round((width - left - 150) * perSecond / longest)
    return `  <text x="${left - 10}" y="${y + 16}" text-anchor="end">${contestant === 'plugin' ? 'this plugin' : contestant}</text>
  <rect class="${contestant === 'plugin' ? 'own' : 'other'}" x="${left}" y="${y}" width="${length}" height="${barHeight}" rx="3"/>
  <text x="${left + length + 8}" y="${y + 16}">${Math.round(perSecond).toLocaleString('en')}, ${synchronous}</text>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
  <title>Updates a second on SQLite</title>
  <style>
    text { font: 14px system-ui, sans-serif; fill: #1f2328 } .head { font-weight: 600 } .own { fill: #0969da } .other { fill: #afb8c1 }
    @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .own { fill: #4493f8 } .other { fill: #484f58 } }
  </style>
  <text class="head" x="${left}" y="20">Updates a second: the whole form, 10,000 contacts, 32 connections</text>
${lines.join('\n')}
</svg>
`
}
