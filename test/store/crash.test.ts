import t from 'tap'
import { crash, createRandom, modes } from '../../bench/crash.js'

void t.test('a server that is killed under load has every update that it acknowledged:', async (t) => {
  const seed = Date.now() % 1e6
  const random = createRandom(seed)
  for (const mode of modes) {
    const { acknowledged, losses } = await crash(mode, random)
    t.strictSame(losses, [], `${mode.journal}, ${mode.synchronous}, seed ${seed}: ${acknowledged} acknowledged`)
  }
})
