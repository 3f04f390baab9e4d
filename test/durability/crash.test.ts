import t from 'tap'
import '../helpers/children-without-tap.js'
import { crash, modes, randomKillTime } from './crash.js'
import { countsOf, createRandom, newSeed } from './rounds.js'

t.test('a server is killed under load: every acknowledged update is there, and a repeated one is made once', async (t) => {
  const seed = newSeed()
  const random = createRandom(seed)
  for (const mode of modes) {
    const round = await crash(mode, randomKillTime(random))
    const { losses, doubles } = round
    t.strictSame({ losses, doubles }, { losses: [], doubles: [] },
      `${mode.journal}, ${mode.synchronous}, checkpoints by ${mode.checkpoints}, seed ${seed}: ${countsOf(round)}`)
  }
})
