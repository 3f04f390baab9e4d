// Explores faults on PostgreSQL: every fault at every statement of an update.

import { postgres as t } from '../../engines.js'
import { describeMode, exploreAll, freeze, modes } from './explore.js'
import { atEach, error, explore, failed, meanwhile, openLanes, refusal, retried, type Happening, type Lane, type Scenario } from './postgres.js'
import type { Fault } from './proxy.js'

/** The statements of an update without a fault. */
async function stepsOf (lane: Lane, isHooked: boolean, isKeyed: boolean): Promise<string[]> {
  await explore(lane, { name: '', wanted: [200], isHooked, isKeyed })
  await lane.reset()
  lane.proxy.plan.begin([])
  await lane.send(lane.apps.near, isHooked, 'Ours', isKeyed ? 'key' : undefined)
  return [...lane.proxy.plan.passed]
}

const isLock = (text: string): boolean => text.includes('from "omnichannel_contact"') && text.includes('for no key update')

/** SQLSTATEs after which the update is tried again, and others. */
const transient = [
  error('40P01'), error('25006'), error('57014'), error('53300'), error('55P03'), error('26000'), error('08006'),
  error('0A000', { R: 'RevalidateCachedQuery' }), error('57P01', { S: 'FATAL' }), error('57P02', { S: 'FATAL' }),
  error('23502', { t: 'omnichannel_idempotency_key', c: 'version' })
]
const final = [error('23505'), error('P0001'), error('22P02'), error('0A000'), error('23502', { t: 'journal' }),
  error('23502', { t: 'omnichannel_idempotency_key', c: 'tenant' }), error('42P01'), error('53100')]

/** Faults for one statement of each kind. */
const atSome: Happening[] = [...transient.map(retried), ...final.map(failed)]

/** What can happen to the reply meanwhile. */
const replies: Record<string, [act: (lane: Lane) => unknown, status: number]> = {
  'the client gone': [({ reply }) => reply!.raw.destroy(), 0],
  'the reply hijacked': [({ reply }) => { if (!reply!.sent && reply!.hijack().sent) reply!.raw.writeHead(504).end() }, 504],
  'the handlerTimeout expired': [({ expire }) => { expire() }, 503],
  'an answer of the host': [({ reply }) => { void reply!.code(504).send({}) }, 504]
}

t.test('every fault at every statement: the update is made once or not at all, and the answer fits', async (t) => {
  freeze(t)
  const open = await openLanes()
  const scenarios: Scenario[] = []
  const short = (text: string): string => text.replace(/\s+/g, ' ').slice(0, 40)

  for (const mode of modes) {
    const steps = await stepsOf(open[0]!, mode.isHooked, mode.isKeyed)
    const lock = steps.findIndex(isLock)
    const begin = steps.findIndex((text) => text.startsWith('BEGIN'))
    // From here on only the update may answer.
    const locked = steps.findIndex((text) => mode.isHooked ? text.startsWith('RELEASE') : text.includes('update "omnichannel_contact"'))
    const recheck = lock + steps.slice(lock).findIndex((text) => text.includes('omnichannel_auth_token'))
    t.match(steps.at(-1), 'COMMIT')
    t.ok(begin > 0 && lock > begin && recheck > lock, 'the contact is locked before the rights are read')

    // The reads are the same in both modes.
    for (const [index, text] of [...steps.entries()].filter(([index]) => mode.isHooked || index > recheck)) {
      const add = (what: string, fault: (lane: Lane) => Fault, wanted: number[], more: Partial<Scenario> = {}): void => {
        scenarios.push({
          name: `${index} ${short(text)}: ${what}${describeMode(mode)}`, ...mode, wanted, injections: (lane) => [{ at: /^/, after: index, fault: fault(lane) }], ...more
        })
      }
      const isOfHost = text.startsWith('INSERT INTO journal')
      const isCommit = text === 'COMMIT'
      const isFirstOfItsKind = isOfHost || isCommit || index === begin || index === lock || text.includes('update "omnichannel_contact"') ||
        text.includes('insert into "omnichannel_idempotency_key"')
      for (const [what, fault, wanted] of isFirstOfItsKind ? [...atEach, ...atSome] : atEach) {
        // Without an answer to its own statement, the host's callback does not end.
        add(what, () => fault, isOfHost && fault.do.startsWith('hold') ? [500] : wanted, { mayBeInDoubt: fault.do.startsWith('hold') })
      }
      for (const [what, run] of Object.entries(meanwhile)) {
        if (what.includes('same key') && !mode.isKeyed) continue
        const status = refusal[what]
        const wanted = status !== undefined ? index <= lock ? [status] : index <= recheck ? [status, 200] : [200]
          : what === 'the contact deleted' ? [200, 400] : what === 'the same key for another request' ? [200, 422] : [200]
        add(`meanwhile ${what}`, (lane) => ({ do: 'meanwhile-before', run: async () => { await run(lane) } }), wanted)
      }
      for (const [what, [act, status]] of Object.entries(replies)) {
        add(`meanwhile ${what}`, (lane) => ({ do: 'meanwhile-before', run: async () => { act(lane) } }), index < locked || status === 0 ? [status] : [200], { mayBeDone: index >= locked })
      }
    }
  }
  await exploreAll(t, scenarios, open, explore)
})
