// Common patterns must all get an answer. They are written as regular expressions, which are easier to read than texts.

import t from 'tap'
import { createPatterns } from '../../src/rules/patterns/index.js'

/* eslint-disable @stylistic/max-len -- a regular expression cannot be broken */

interface Pattern { name: string, regexp: RegExp | string, fits: string, fails: string }

const countries = Array.from({ length: 250 }, (_, index) => `Country ${index.toString(36)} of ${index * 7919}`)
const letters = rangesOf(/\p{L}/u)
const postalCodes = [
  '\\d{5}([ \\-]\\d{4})?', '[ABCEGHJKLMNPRSTVXY]\\d[ABCEGHJ-NPRSTV-Z][ ]?\\d[ABCEGHJ-NPRSTV-Z]\\d', '\\d{3}-\\d{4}', '\\d{2}[ ]?\\d{3}',
  '\\d{4}[ ]?[A-Z]{2}', '(\\d{4}([ ]?\\d{4})?)?', '([A-HJ-NP-Z])?\\d{4}([A-Z]{3})?', 'AD\\d{3}', '(BB\\d{5})?', '((1[0-2]|[2-9])\\d{2})?'
]

const patterns: Pattern[] = [
  { name: 'plan', regexp: /^(gold|silver)$/, fits: 'silver', fails: 'bronze' },
  { name: 'e-mail', regexp: /^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$/, fits: 'maria.silva@example.com', fails: 'maria.silva@example' },
  {
    name: 'e-mail, as browsers check it',
    regexp: /^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$/,
    fits: 'maria@mail.example.com',
    fails: `maria@${'a'.repeat(64)}.com`
  },
  {
    name: 'e-mail of RFC 5322',
    regexp: /^(?:[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*|"(?:[\x01-\x08\x0b\x0c\x0e-\x1f\x21\x23-\x5b\x5d-\x7f]|\\[\x01-\x09\x0b\x0c\x0e-\x7f])*")@(?:(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]*[a-z0-9])?|\[(?:(?:(2(5[0-5]|[0-4][0-9])|1[0-9][0-9]|[1-9]?[0-9]))\.){3}(?:(2(5[0-5]|[0-4][0-9])|1[0-9][0-9]|[1-9]?[0-9]))\])$/,
    fits: '"maria_silva"@[192.168.1.1]',
    fails: 'maria silva@example.com'
  },
  {
    name: 'URL',
    regexp: /^(?:(?:(?:https?|ftp):)?\/\/)(?:\S+(?::\S*)?@)?(?:(?!(?:10|127)(?:\.\d{1,3}){3})(?!(?:169\.254|192\.168)(?:\.\d{1,3}){2})(?!172\.(?:1[6-9]|2\d|3[0-1])(?:\.\d{1,3}){2})(?:[1-9]\d?|1\d\d|2[01]\d|22[0-3])(?:\.(?:1?\d{1,2}|2[0-4]\d|25[0-5])){2}(?:\.(?:[1-9]\d?|1\d\d|2[0-4]\d|25[0-4]))|(?:(?:[a-z0-9\u00a1-\uffff][a-z0-9\u00a1-\uffff_-]{0,62})?[a-z0-9\u00a1-\uffff]\.)+(?:[a-z\u00a1-\uffff]{2,}\.?))(?::\d{2,5})?(?:[/?#]\S*)?$/,
    fits: 'https://user:secret@shop.example.com:8080/path?x=1#top',
    fails: 'https://10.1.2.3/'
  },
  { name: 'phone', regexp: /^\+?(\d{1,3})?[-. ]?\(?\d{3}\)?[-. ]?\d{3}[-. ]?\d{4}$/, fits: '+49 (301) 222-3333', fails: '+49 301 22 33' },
  { name: 'IBAN', regexp: /^([A-Z]{2}[ -]?[0-9]{2})(?=(?:[ -]?[A-Z0-9]){9,30}$)((?:[ -]?[A-Z0-9]{3,5}){2,7})([ -]?[A-Z0-9]{1,3})?$/, fits: 'DE89 3704 0044 0532 0130 00', fails: 'DE89 3704' },
  { name: 'UUID', regexp: /^[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, fits: '123e4567-e89b-12d3-a456-426614174000', fails: '123e4567-e89b-12d3-a456' },
  {
    name: 'date with leap years, one separator',
    regexp: /^(?:(?:31([/.-])(?:0?[13578]|1[02]))\1|(?:(?:29|30)([/.-])(?:0?[13-9]|1[0-2])\2))(?:(?:1[6-9]|[2-9]\d)?\d{2})$|^(?:29([/.-])0?2\3(?:(?:(?:1[6-9]|[2-9]\d)?(?:0[48]|[2468][048]|[13579][26])|(?:(?:16|[2468][048]|[3579][26])00))))$|^(?:0?[1-9]|1\d|2[0-8])([/.-])(?:(?:0?[1-9])|(?:1[0-2]))\4(?:(?:1[6-9]|[2-9]\d)?\d{2})$/,
    fits: '29.02.2024',
    fails: '29.02.2023'
  },
  {
    name: 'ISO 8601',
    regexp: /^([+-]?\d{4}(?!\d{2}\b))((-?)((0[1-9]|1[0-2])(\3([12]\d|0[1-9]|3[01]))?|W([0-4]\d|5[0-2])(-?[1-7])?|(00[1-9]|0[1-9]\d|[12]\d{2}|3([0-5]\d|6[1-6])))([T\s]((([01]\d|2[0-3])((:?)[0-5]\d)?|24:?00)([.,]\d+(?!:))?)?(\17[0-5]\d([.,]\d+)?)?([zZ]|([+-])([01]\d|2[0-3]):?([0-5]\d)?)?)?)?$/,
    fits: '2026-02-28T10:20:30Z',
    fails: '2026-02-32'
  },
  { name: 'password', regexp: /^(?=.*[a-z])(?=.*[A-Z])(?=.*\d)(?=.*[@$!%*?&])[A-Za-z\d@$!%*?&]{8,}$/, fits: 'Passw0rd!', fails: 'password' },
  {
    name: 'IPv6',
    regexp: /^(([0-9a-fA-F]{1,4}:){7,7}[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,7}:|([0-9a-fA-F]{1,4}:){1,6}:[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,5}(:[0-9a-fA-F]{1,4}){1,2}|([0-9a-fA-F]{1,4}:){1,4}(:[0-9a-fA-F]{1,4}){1,3}|([0-9a-fA-F]{1,4}:){1,3}(:[0-9a-fA-F]{1,4}){1,4}|([0-9a-fA-F]{1,4}:){1,2}(:[0-9a-fA-F]{1,4}){1,5}|[0-9a-fA-F]{1,4}:((:[0-9a-fA-F]{1,4}){1,6})|:((:[0-9a-fA-F]{1,4}){1,7}|:)|::(ffff(:0{1,4}){0,1}:){0,1}((25[0-5]|(2[0-4]|1{0,1}[0-9]){0,1}[0-9])\.){3,3}(25[0-5]|(2[0-4]|1{0,1}[0-9]){0,1}[0-9]))$/,
    fits: '2001:db8::ff00:42:8329',
    fails: '2001:db8:::42'
  },
  { name: 'name', regexp: /^[A-Za-z\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u02FF\u0370-\u1FFF]+(?:[ '-][A-Za-z\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u02FF\u0370-\u1FFF]+)*$/, fits: 'María José O\'Neill', fails: 'María 2' },
  { name: 'letters of every language', regexp: `^[${letters}]+(?:[ -][${letters}]+)*$`, fits: 'Žluťoučký-kůň', fails: 'R2D2' },
  { name: 'postal code of the United Kingdom', regexp: /^(GIR ?0AA|[A-PR-UWYZ]([0-9]{1,2}|([A-HK-Y][0-9]([0-9ABEHMNPRV-Y])?)|[0-9][A-HJKPS-UW]) ?[0-9][ABD-HJLNP-UW-Z]{2})$/, fits: 'SW1A 1AA', fails: 'SW1A' },
  { name: 'postal codes of every country, as one', regexp: `^(?:${Array.from({ length: 160 }, (_, index) => postalCodes[index % 10]).join('|')})$`, fits: '12345-6789', fails: '12-34' },
  { name: 'a list of countries', regexp: `^(${countries.join('|')})$`, fits: countries[249]!, fails: 'Country' },
  { name: 'several of a list of countries', regexp: `^(?:(?:${countries.slice(0, 100).join('|')})(?:, |$))+$`, fits: countries.slice(7, 12).join(', '), fails: 'Country, Country' },
  { name: 'a list with a group for each', regexp: `^(?:${countries.slice(0, 150).map((country) => `(${country})`).join('|')})$`, fits: countries[149]!, fails: 'Country' },
  { name: 'CSV', regexp: /^("(?:[^"]|"")*"|[^,"\n]*)(,("(?:[^"]|"")*"|[^,"\n]*))*$/, fits: 'a,"b, ""c""",d', fails: 'a,"b' },
  { name: 'not these words', regexp: /^(?:(?!bad|worse).)*$/, fits: 'a good text', fails: 'a bad text' },
  { name: 'no letter three times', regexp: /^(?!.*(.)\1\1)[\w ]{3,40}$/, fits: 'Maria Silva', fails: 'Mariaaa' },
  { name: 'amount', regexp: /(?<![\d,])\d{1,3}(?:,\d{3})*(?:\.\d{2})?(?!\d)/, fits: 'about $1,234.50', fails: 'about' },
  { name: 'long text', regexp: /^[\s\S]{1,50000}$/, fits: 'a\nb'.repeat(15_000), fails: 'a'.repeat(50_001) }
]

/** The ranges of a character class with all UTF-16 units that match. */
function rangesOf (kind: RegExp): string {
  const units = Array.from({ length: 0x10000 }, (_, unit) => kind.test(String.fromCharCode(unit)))
  const escaped = (unit: number): string => `\\u${unit.toString(16).padStart(4, '0')}`
  return units.flatMap((matches, unit) => matches && units[unit - 1] !== true ? `${escaped(unit)}-${escaped(units.indexOf(false, unit) - 1)}` : []).join('')
}

t.test('common patterns: all are answered, with the result of RegExp', async (t) => {
  const begin = createPatterns()
  for (const { name, regexp, fits, fails } of patterns) {
    const source = typeof regexp === 'string' ? regexp : regexp.source
    // Several times, because V8 compiles a pattern again when it is used again.
    for (const time of ['first', 'second', 'third']) {
      const check = begin(({ id }, problem) => { t.fail(`${id} ${problem}`) })
      const field = { id: name, label: '', required: 0, regexp: source }
      t.strictSame([check(field, fits), check(field, fails)], [true, false], `${name}, the ${time} time`)
      t.strictSame([RegExp(source).test(fits), RegExp(source).test(fails)], [true, false])
    }
  }
})
