import '../helpers/children-without-tap.js'
import { postgres as t } from '../helpers/engines.js'
import { openEnvironment } from './environment.js'
import { createPlan, failover, type FailoverRound, type Kind } from './failover.js'
import { countsOf, createRandom, newSeed } from './rounds.js'

t.test('a primary is killed under load: every acknowledged update is there, complete and exactly once', async (t) => {
  const seed = newSeed()
  const random = createRandom(seed)
  const environment = await openEnvironment()
  t.teardown(environment.close)
  // With less than a third of the usual load, so that the test is short.
  const runRound = async (kind: Kind, cutsLink: boolean): Promise<FailoverRound> =>
    await failover(environment, createPlan({ kind, cutsLink, random, pace: 0.3 }))

  for (const [kind, cutsLink] of [['promotion', false], ['promotion', true], ['restart', true], ['relapse', true]] as const) {
    const round = await runRound(kind, cutsLink)
    const { losses, doubles, firstAfterMs } = round
    t.strictSame({ losses, doubles }, { losses: [], doubles: [] },
      `${kind}${cutsLink ? ' after a cut' : ''}, seed ${seed}: ${countsOf(round)}, first 200 after ${firstAfterMs} ms`)
  }

  const control = await runRound('control', true)
  t.match(control.losses.join(), / is not there/, 'the losses of an asynchronous replica are found, so the rounds above would find losses too')
  t.strictSame(control.doubles, [])
})
