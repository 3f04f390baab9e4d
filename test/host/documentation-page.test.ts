import helmet from '@fastify/helmet'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium, type Browser, type Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { build } from '../helpers/test-server.js'
import { program } from '../helpers/built-program.js'

const commands = ['google-chrome', 'google-chrome-stable', 'chromium', 'chromium-browser']
/** An installed browser, if there is one. */
const executablePath = [
  ...(process.env.PATH ?? '').split(delimiter).flatMap((folder) => commands.map((command) => join(folder, command))),
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe'
].find(existsSync)

interface Documentation {
  page: Page
  /** Its Content-Security-Policy. */
  policy: string | undefined
  /** Errors and warnings of the browser, and requests of the page that failed. */
  browserErrors: string[]
}

/** Opens a documentation page of Swagger UI, and unfolds its only operation. */
async function openPage (t: Test, browser: Browser, url: string): Promise<Documentation> {
  const page = await browser.newPage()
  t.teardown(async () => { await page.close() })
  page.setDefaultTimeout(10_000)
  const browserErrors: string[] = []
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) browserErrors.push(message.text()) })
  page.on('pageerror', ({ message }) => browserErrors.push(message))
  page.on('requestfailed', (request) => browserErrors.push(`${request.url()} failed`))
  page.on('response', (response) => { if (response.status() >= 400) browserErrors.push(`${response.url()} ${response.status()}`) })
  const response = await page.goto(url)
  await page.click('.opblock-summary-control')
  return { page, policy: response?.headers()['content-security-policy'], browserErrors }
}

/** Fills in the credentials, one after the other. A form disappears once it is submitted, so the next one is then the first. */
async function authorize (page: Page, credentials: string[]): Promise<void> {
  await page.click('.auth-wrapper .authorize')
  for (const [index, credential] of credentials.entries()) {
    await page.locator('.modal-ux input').nth(0).fill(credential)
    await page.locator('.modal-ux button[type=submit]').nth(0).click()
    await page.locator('.modal-ux h6', { hasText: 'Authorized' }).nth(index).waitFor()
  }
  await page.locator('.modal-ux .btn-done').nth(0).click()
}

/** Presses Execute, and returns the status that the page then shows. */
async function execute (page: Page): Promise<string> {
  const answered = page.waitForResponse((response) => response.url().endsWith('contacts.update'))
  await page.click('.execute')
  await answered
  return await page.innerText('.live-responses-table tbody .response-col_status')
}

/** Waits for `count` elements, and returns their texts. */
async function textsOf (page: Page, selector: string, count: number): Promise<string[]> {
  await page.locator(selector).nth(count - 1).waitFor({ state: 'attached' })
  return await page.locator(selector).allInnerTexts()
}

const REQUEST_BODY = '.opblock-section-request-body'
/** An element of the page: `any`, because the compiler has no types of the DOM here. */
type Element = ReturnType<typeof JSON.parse>

// These functions run in the browser.
const widthOfImage = async (image: Element): Promise<number> => {
  await image.decode()
  return image.naturalWidth
}
const widthOfSvgText = (text: Element): number => text.getBBox().width

/** Starts `serve --demo`. Resolves to the printed address of the documentation page, and to the printed token. */
async function startDemo (t: Test): Promise<{ url: string, token: string }> {
  const demo = spawn(process.execPath, [program, 'serve', '--demo', '--port', '0', '--database', join(t.testdir(), 'demo.db')])
  t.teardown(async () => {
    demo.kill()
    await once(demo, 'exit')
  })
  let printed = ''
  demo.stdout.on('data', (data) => { printed += String(data) })
  const findToken = (): string | undefined => /\bthis authToken:\n\n(\S+)\n/.exec(printed)?.[1]
  while (findToken() === undefined) await once(demo.stdout, 'data', { signal: AbortSignal.timeout(10_000) })
  return { url: /Documentation: (\S+)/.exec(printed)![1]!, token: findToken()! }
}

const skip = executablePath === undefined && 'no Chromium or Chrome was found: install one, and this is tested'

t.test('documentation pages in a browser', { skip }, async (t) => {
  // Keeps the settings of the browser out of the user's home.
  const home = t.testdir()
  const env = { ...process.env as Record<string, string>, HOME: home, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home }
  const browser = await chromium.launch({ executablePath: executablePath!, env })
  t.teardown(async () => { await browser.close() })

  await t.test('the page of serve --demo: shows logo and examples, and "Try it out" answers 200 with the printed token', async (t) => {
    const { url, token } = await startDemo(t)
    const { page, policy, browserErrors } = await openPage(t, browser, url)
    t.match(policy, /^default-src 'self'; (?!.*upgrade-insecure-requests)/)
    t.equal(await page.title(), 'Omnichannel contacts')
    const logoWidth = await page.locator('.topbar text').evaluate(widthOfSvgText)
    t.ok(logoWidth > 0 && logoWidth <= 260, 'the logo is there, and fits into its 260 pixels')
    t.equal((await textsOf(page, `${REQUEST_BODY} .examples-select option`, 2)).length, 2)
    t.match(await page.innerText(`${REQUEST_BODY} .body-param__example`), '"contactId": "maria"')
    t.equal((await textsOf(page, '.responses-table .examples-select', 10)).length, 10, 'every answer has examples')
    t.strictSame(await textsOf(page, '.models .json-schema-2020-12__title', 5),
      ['UpdateContactBody', 'ContactChannel', 'Contact', 'UpdateContactReply', 'ErrorReply'])

    await authorize(page, ['ann', token])
    await page.click('.try-out__btn')
    t.equal(await execute(page), '200')
    t.match(await page.innerText('.live-responses-table tbody .response-col_description'), '"phoneNumber": "+49 30 901820"')
    t.strictSame(browserErrors, [])
  })

  await t.test('the page of a host with helmet: all fields but the token are filled in, and "Try it out" answers 200', async (t) => {
    const { app } = await build(t, {
      host: async (app) => {
        await app.register(helmet)
        await app.register(swagger, { openapi: { info: { title: 'Desk', version: '1.0.0' } } })
        await app.register(swaggerUi, { routePrefix: '/documentation' })
      }
    })
    const { page, policy, browserErrors } = await openPage(t, browser, `${await app.listen({ port: 0, host: '127.0.0.1' })}/documentation`)
    t.match(policy, /^default-src 'self';.*script-src 'self';.*upgrade-insecure-requests/)
    t.ok(await page.locator('.topbar img').evaluate(widthOfImage) > 0, "swagger-ui's logo is there")
    await page.click('.try-out__btn')
    await page.fill('input[placeholder=X-Auth-Token]', 'token-of-ann')
    t.equal(await execute(page), '200')
    t.strictSame(browserErrors, [])
  })
})
