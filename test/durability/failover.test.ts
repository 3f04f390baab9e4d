import { createRandom } from './crash.js'
import { failover, type Round } from './failover.js'
import { plan, type Kind } from './failover-plan.js'
import { openStage } from './failover-stage.js'
import '../children.js'
import { postgres as t } from '../engines.js'

t.test('a primary that is killed under load', async (t) => {
  const seed = Date.now() % 1e6
  const random = createRandom(seed)
  const stage = await openStage()
  t.teardown(stage.close)
  const play = async (kind: Kind, cuts: boolean): Promise<Round> => await failover(stage, plan(kind, cuts, random, 0.3))

  for (const [kind, cuts] of [['promotion', false], ['promotion', true], ['restart', true], ['relapse', true]] as const) {
    const { acknowledged, repeated, foundDone, firstAfter, losses, doubles } = await play(kind, cuts)
    t.strictSame({ losses, doubles }, { losses: [], doubles: [] },
      `${kind}${cuts ? ' after a cut' : ''}, seed ${seed}: ${acknowledged} acknowledged, ${repeated} repeated, ${foundDone} found done, first 200 after ${Math.round(firstAfter)} ms`)
  }

  const control = await play('control', true)
  t.match(control.losses.join(), / is not there/, 'losses would be seen: those of an asynchronous replica are')
  t.strictSame(control.doubles, [])
})
