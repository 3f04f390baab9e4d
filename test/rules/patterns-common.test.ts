// Patterns that administrators use. Each must be answered, and not be refused as too large or too slow. Most are written as regular
// expressions, because these need no double backslashes.

import t from 'tap'
import { createPatternCache } from '../../src/rules/patterns/index.js'

/* eslint-disable @stylistic/max-len -- a regular expression cannot be broken */

interface Pattern { name: string, regexp: RegExp | string, matching: string, notMatching: string }

const countries = Array.from({ length: 250 }, (_, index) => `Country ${index.toString(36)} of ${index * 7919}`)
const letters = rangesOf(/\p{L}/u)
const postalCodes = [
  '\\d{5}([ \\-]\\d{4})?', '[ABCEGHJKLMNPRSTVXY]\\d[ABCEGHJ-NPRSTV-Z][ ]?\\d[ABCEGHJ-NPRSTV-Z]\\d', '\\d{3}-\\d{4}', '\\d{2}[ ]?\\d{3}',
  '\\d{4}[ ]?[A-Z]{2}', '(\\d{4}([ ]?\\d{4})?)?', '([A-HJ-NP-Z])?\\d{4}([A-Z]{3})?', 'AD\\d{3}', '(BB\\d{5})?', '((1[0-2]|[2-9])\\d{2})?'
]

const patterns: Pattern[] = [
  { name: 'plan', regexp: /^(gold|silver)$/, matching: 'silver', notMatching: 'bronze' },
  { name: 'e-mail', regexp: /^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$/, matching: 'maria.silva@example.com', notMatching: 'maria.silva@example' },
  {
    name: 'e-mail, as browsers check it',
    regexp: /^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$/,
    matching: 'maria@mail.example.com',
    notMatching: `maria@${'a'.repeat(64)}.com`
  },
  {
    name: 'e-mail of RFC 5322',
    regexp: /^(?:[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*|"(?:[\x01-\x08\x0b\x0c\x0e-\x1f\x21\x23-\x5b\x5d-\x7f]|\\[\x01-\x09\x0b\x0c\x0e-\x7f])*")@(?:(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]*[a-z0-9])?|\[(?:(?:(2(5[0-5]|[0-4][0-9])|1[0-9][0-9]|[1-9]?[0-9]))\.){3}(?:(2(5[0-5]|[0-4][0-9])|1[0-9][0-9]|[1-9]?[0-9]))\])$/,
    matching: '"maria_silva"@[192.168.1.1]',
    notMatching: 'maria silva@example.com'
  },
  {
    name: 'URL',
    regexp: /^(?:(?:(?:https?|ftp):)?\/\/)(?:\S+(?::\S*)?@)?(?:(?!(?:10|127)(?:\.\d{1,3}){3})(?!(?:169\.254|192\.168)(?:\.\d{1,3}){2})(?!172\.(?:1[6-9]|2\d|3[0-1])(?:\.\d{1,3}){2})(?:[1-9]\d?|1\d\d|2[01]\d|22[0-3])(?:\.(?:1?\d{1,2}|2[0-4]\d|25[0-5])){2}(?:\.(?:[1-9]\d?|1\d\d|2[0-4]\d|25[0-4]))|(?:(?:[a-z0-9\u00a1-\uffff][a-z0-9\u00a1-\uffff_-]{0,62})?[a-z0-9\u00a1-\uffff]\.)+(?:[a-z\u00a1-\uffff]{2,}\.?))(?::\d{2,5})?(?:[/?#]\S*)?$/,
    matching: 'https://user:secret@shop.example.com:8080/path?x=1#top',
    notMatching: 'https://10.1.2.3/'
  },
  { name: 'phone', regexp: /^\+?(\d{1,3})?[-. ]?\(?\d{3}\)?[-. ]?\d{3}[-. ]?\d{4}$/, matching: '+49 (301) 222-3333', notMatching: '+49 301 22 33' },
  { name: 'IBAN', regexp: /^([A-Z]{2}[ -]?[0-9]{2})(?=(?:[ -]?[A-Z0-9]){9,30}$)((?:[ -]?[A-Z0-9]{3,5}){2,7})([ -]?[A-Z0-9]{1,3})?$/, matching: 'DE89 3704 0044 0532 0130 00', notMatching: 'DE89 3704' },
  { name: 'UUID', regexp: /^[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, matching: '123e4567-e89b-12d3-a456-426614174000', notMatching: '123e4567-e89b-12d3-a456' },
  {
    name: 'date with leap years, one separator',
    regexp: /^(?:(?:31([/.-])(?:0?[13578]|1[02]))\1|(?:(?:29|30)([/.-])(?:0?[13-9]|1[0-2])\2))(?:(?:1[6-9]|[2-9]\d)?\d{2})$|^(?:29([/.-])0?2\3(?:(?:(?:1[6-9]|[2-9]\d)?(?:0[48]|[2468][048]|[13579][26])|(?:(?:16|[2468][048]|[3579][26])00))))$|^(?:0?[1-9]|1\d|2[0-8])([/.-])(?:(?:0?[1-9])|(?:1[0-2]))\4(?:(?:1[6-9]|[2-9]\d)?\d{2})$/,
    matching: '29.02.2024',
    notMatching: '29.02.2023'
  },
  {
    name: 'ISO 8601',
    regexp: /^([+-]?\d{4}(?!\d{2}\b))((-?)((0[1-9]|1[0-2])(\3([12]\d|0[1-9]|3[01]))?|W([0-4]\d|5[0-2])(-?[1-7])?|(00[1-9]|0[1-9]\d|[12]\d{2}|3([0-5]\d|6[1-6])))([T\s]((([01]\d|2[0-3])((:?)[0-5]\d)?|24:?00)([.,]\d+(?!:))?)?(\17[0-5]\d([.,]\d+)?)?([zZ]|([+-])([01]\d|2[0-3]):?([0-5]\d)?)?)?)?$/,
    matching: '2026-02-28T10:20:30Z',
    notMatching: '2026-02-32'
  },
  { name: 'password', regexp: /^(?=.*[a-z])(?=.*[A-Z])(?=.*\d)(?=.*[@$!%*?&])[A-Za-z\d@$!%*?&]{8,}$/, matching: 'Passw0rd!', notMatching: 'password' },
  {
    name: 'IPv6',
    regexp: /^(([0-9a-fA-F]{1,4}:){7,7}[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,7}:|([0-9a-fA-F]{1,4}:){1,6}:[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,5}(:[0-9a-fA-F]{1,4}){1,2}|([0-9a-fA-F]{1,4}:){1,4}(:[0-9a-fA-F]{1,4}){1,3}|([0-9a-fA-F]{1,4}:){1,3}(:[0-9a-fA-F]{1,4}){1,4}|([0-9a-fA-F]{1,4}:){1,2}(:[0-9a-fA-F]{1,4}){1,5}|[0-9a-fA-F]{1,4}:((:[0-9a-fA-F]{1,4}){1,6})|:((:[0-9a-fA-F]{1,4}){1,7}|:)|::(ffff(:0{1,4}){0,1}:){0,1}((25[0-5]|(2[0-4]|1{0,1}[0-9]){0,1}[0-9])\.){3,3}(25[0-5]|(2[0-4]|1{0,1}[0-9]){0,1}[0-9]))$/,
    matching: '2001:db8::ff00:42:8329',
    notMatching: '2001:db8:::42'
  },
  { name: 'name', regexp: /^[A-Za-z\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u02FF\u0370-\u1FFF]+(?:[ '-][A-Za-z\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u02FF\u0370-\u1FFF]+)*$/, matching: 'María José O\'Neill', notMatching: 'María 2' },
  { name: 'letters of every language', regexp: `^[${letters}]+(?:[ -][${letters}]+)*$`, matching: 'Žluťoučký-kůň', notMatching: 'R2D2' },
  { name: 'postal code of the United Kingdom', regexp: /^(GIR ?0AA|[A-PR-UWYZ]([0-9]{1,2}|([A-HK-Y][0-9]([0-9ABEHMNPRV-Y])?)|[0-9][A-HJKPS-UW]) ?[0-9][ABD-HJLNP-UW-Z]{2})$/, matching: 'SW1A 1AA', notMatching: 'SW1A' },
  { name: 'postal codes of every country, as one', regexp: `^(?:${Array.from({ length: 160 }, (_, index) => postalCodes[index % 10]).join('|')})$`, matching: '12345-6789', notMatching: '12-34' },
  { name: 'a list of countries', regexp: `^(${countries.join('|')})$`, matching: countries[249]!, notMatching: 'Country' },
  { name: 'several of a list of countries', regexp: `^(?:(?:${countries.slice(0, 100).join('|')})(?:, |$))+$`, matching: countries.slice(7, 12).join(', '), notMatching: 'Country, Country' },
  { name: 'a list with a group for each', regexp: `^(?:${countries.slice(0, 150).map((country) => `(${country})`).join('|')})$`, matching: countries[149]!, notMatching: 'Country' },
  { name: 'CSV', regexp: /^("(?:[^"]|"")*"|[^,"\n]*)(,("(?:[^"]|"")*"|[^,"\n]*))*$/, matching: 'a,"b, ""c""",d', notMatching: 'a,"b' },
  { name: 'not these words', regexp: /^(?:(?!bad|worse).)*$/, matching: 'a good text', notMatching: 'a bad text' },
  { name: 'no letter three times', regexp: /^(?!.*(.)\1\1)[\w ]{3,40}$/, matching: 'Maria Silva', notMatching: 'Mariaaa' },
  { name: 'amount', regexp: /(?<![\d,])\d{1,3}(?:,\d{3})*(?:\.\d{2})?(?!\d)/, matching: 'about $1,234.50', notMatching: 'about' },
  { name: 'long text', regexp: /^[\s\S]{1,50000}$/, matching: 'a\nb'.repeat(15_000), notMatching: 'a'.repeat(50_001) }
]

/** The inside of a character class with all UTF-16 units that match, as ranges such as `\u0041-\u005a`. */
function rangesOf (regexp: RegExp): string {
  const matches = Array.from({ length: 0x10000 }, (_, unit) => regexp.test(String.fromCharCode(unit)))
  const escape = (unit: number): string => `\\u${unit.toString(16).padStart(4, '0')}`
  const firstUnits = [...matches.keys()].filter((unit) => matches[unit] === true && matches[unit - 1] !== true)
  return firstUnits.map((first) => `${escape(first)}-${escape(matches.indexOf(false, first) - 1)}`).join('')
}

t.test('common patterns: all are answered, with the result of RegExp', async (t) => {
  const { createMatcher } = createPatternCache()
  for (const { name, regexp, matching, notMatching } of patterns) {
    const source = typeof regexp === 'string' ? regexp : regexp.source
    // Several times, because V8 compiles a pattern again when it is used again.
    for (const time of ['first', 'second', 'third']) {
      const matches = createMatcher(({ id }, problem) => { t.fail(`${id} ${problem}`) })
      const field = { id: name, label: '', required: 0, regexp: source }
      t.strictSame([matches(field, matching), matches(field, notMatching)], [true, false], `${name}, the ${time} time`)
      t.strictSame([RegExp(source).test(matching), RegExp(source).test(notMatching)], [true, false], `${name}, in RegExp`)
    }
  }
})
