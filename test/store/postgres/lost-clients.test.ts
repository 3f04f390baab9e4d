// A server that ends a connection at the worst moment: right behind an answer, in the same chunk.

import { setTimeout as pause } from 'node:timers/promises'
import { allRows } from '../../build.js'
import { postgres as t } from '../../engines.js'
import { observe } from '../../observed.js'
import { openWire } from './wire.js'

const fields = ['SFATAL', 'VFATAL', 'C57P01', 'Mterminating connection due to administrator command', 'Fpostgres.c', 'L3300', 'RProcessInterrupts']
const text = `${fields.join('\0')}\0\0`
const fatal = Buffer.concat([Buffer.from([0x45, 0, 0, 0, text.length + 4]), Buffer.from(text)])
const ready = (status: string): Buffer => Buffer.from([0x5a, 0, 0, 0, 5, status.charCodeAt(0)])
const body = { contactId: 'maria', name: 'Marie' }

const moments: Record<string, [ends: (data: Buffer) => boolean, calls: number]> = {
  'the answer to COMMIT': [(data) => data.includes('COMMIT\0') && data.subarray(-6).equals(ready('I')), 1],
  'the answers to the reads': [(data) => data.includes('BEGIN\0') && data.subarray(-6).equals(ready('T')), 1],
  'the answer to the look-up of the caller': [(data) => !data.includes('COMMIT\0') && data.includes('ann') && data.subarray(-6).equals(ready('I')), 1]
}
for (const pipeline of [true, false]) {
  for (const [moment, [ends, calls]] of Object.entries(moments)) {
    t.test(`FATAL 57P01 in one chunk with ${moment}: the process lives, and the update is done once${pipeline ? '' : ', without pipelining'}`, async (t) => {
      let strikes = 0
      const { host } = await openWire(t, {
        toClient: (data) => {
          if (strikes === 0 || !ends(data)) return data
          strikes--
          return Buffer.concat([data, fatal])
        }
      })
      const { update, db, called, told, complaints, leftovers } = await observe(t, { pool: { host, pipeline } })
      await update({ contactId: 'maria' })
      for (const version of [2, 3, 4]) {
        strikes = 1
        const reply = await update(body)
        t.strictSame([reply.statusCode, reply.json().contact?.name, reply.headers.etag], [200, 'Marie', `"${version}"`])
        if (pipeline) t.equal(strikes, 0, 'it happened')
        await pause(5)
      }
      t.match((await allRows(db)).omnichannel_contact, [{}, {}, { name: 'Marie', version: 4 }])
      t.equal(told.length, 3)
      t.equal(called.length, 3 * calls)
      t.strictSame([complaints().filter((line) => !line.includes('a connection to the database was lost')), await leftovers()], [[], {}])
    })
  }

  t.test(`FATAL 57P01 right behind COMMIT, and the connection is cut: done once${pipeline ? '' : ', without pipelining'}`, async (t) => {
    let isCut = false
    const { host } = await openWire(t, {
      toClient: (data, connection) => {
        if (!isCut || !moments['the answer to COMMIT']![0](data)) return data
        isCut = false
        setImmediate(() => { (connection as { destroy: () => void }).destroy() })
        return Buffer.concat([data, fatal])
      }
    })
    const { update, db, told } = await observe(t, { pool: { host, pipeline } })
    isCut = true
    const reply = await update(body)
    t.strictSame([reply.statusCode, reply.headers.etag, told.length, isCut], [200, '"2"', 1, false])
    t.equal((await update(body)).headers.etag, '"3"')
    t.match((await allRows(db)).omnichannel_contact, [{}, {}, { name: 'Marie', version: 3 }])
  })
}

t.test('FATAL 57P01 in one chunk with the greeting of the server: the registration survives it', async (t) => {
  let strikes = 3
  const { host } = await openWire(t, {
    toClient: (data) => strikes > 0 && data.subarray(-6).equals(ready('I')) ? (strikes--, Buffer.concat([data, fatal])) : data
  })
  const { update } = await observe(t, { pool: { host } })
  t.strictSame([(await update(body)).headers.etag, strikes], ['"2"', 0])
})
