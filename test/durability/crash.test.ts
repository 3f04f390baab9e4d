import t from 'tap'
import { crash, createRandom, modes } from './crash.js'
import '../children.js'

t.test('a server that is killed under load has every update that it acknowledged, and a repeated one once:', async (t) => {
  const seed = Date.now() % 1e6
  const random = createRandom(seed)
  for (const mode of modes) {
    const { acknowledged, repeated, foundDone, losses, doubles } = await crash(mode, random)
    t.strictSame({ losses, doubles }, { losses: [], doubles: [] },
      `${mode.journal}, ${mode.synchronous}, seed ${seed}: ${acknowledged} acknowledged, ${repeated} repeated, ${foundDone} found done`)
  }
})
