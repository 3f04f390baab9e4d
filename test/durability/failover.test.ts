import '../children.js'
import { postgres as t } from '../engines.js'
import { failover, plan, type FailoverRound, type Kind } from './failover.js'
import { countsOf, createRandom, newSeed } from './rounds.js'
import { openStage } from './stage.js'

t.test('a primary that is killed under load: every acknowledged update is there, whole and once', async (t) => {
  const seed = newSeed()
  const random = createRandom(seed)
  const stage = await openStage()
  t.teardown(stage.close)
  const play = async (kind: Kind, cuts: boolean): Promise<FailoverRound> => await failover(stage, plan(kind, cuts, random, 0.3))

  for (const [kind, cuts] of [['promotion', false], ['promotion', true], ['restart', true], ['relapse', true]] as const) {
    const round = await play(kind, cuts)
    const { losses, doubles, firstAfter } = round
    t.strictSame({ losses, doubles }, { losses: [], doubles: [] },
      `${kind}${cuts ? ' after a cut' : ''}, seed ${seed}: ${countsOf(round)}, first 200 after ${firstAfter} ms`)
  }

  const control = await play('control', true)
  t.match(control.losses.join(), / is not there/, 'losses would be seen: those of an asynchronous replica are')
  t.strictSame(control.doubles, [])
})
