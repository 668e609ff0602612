// Reads an endless query with node's drivers in each way they have, and cancels it.
const { Client, Query } = require('pg')
const Cursor = require('pg-cursor')
const QueryStream = require('pg-query-stream')
const postgres = require('postgres')

const port = Number(process.argv[2])
const config = { host: '127.0.0.1', port, user: 'tester', database: 'db' }
const stream = 'SELECT auction, price FROM ticks EMIT CHANGES'
const sleep = (s) => new Promise((done) => setTimeout(done, s * 1000))
const clock = () => { const start = process.hrtime.bigint(); return () => Number(process.hrtime.bigint() - start) / 1e9 }
const show = (v) => (v === undefined ? '-' : v.toFixed(3))
const line = (client, mode, first, cancel, state, after) =>
  console.log(['row', client, mode, show(first), show(cancel), state || '-', after ? 'yes' : 'no'].join('\t'))
const guarded = async (client, mode, f) => {
  try { await f() } catch (e) { console.log(['check', client, mode, 'wrong', String(e.stack || e).replace(/\s+/g, ' ')].join('\t')) }
}
const usable = async (c) => (await c.query('SELECT 1 AS one')).rows[0].one === 1

async function pgRows(mode, values) {
  const c = new Client(config)
  await c.connect()
  const since = clock()
  let first
  const query = new Query(values ? 'SELECT auction, price FROM ticks WHERE price > $1 EMIT CHANGES' : stream, values)
  const ended = new Promise((done) => { query.on('error', (e) => done(e.code)); query.on('end', () => done('ended')) })
  query.on('row', () => { first ??= since() })
  c.query(query)
  await sleep(0.5)
  const stop = clock()
  new Client(config).cancel(c, query)
  const state = await ended
  const took = stop()
  line('node pg', mode, first, took, state, await usable(c))
  await c.end()
}

async function pgCursor() {
  const c = new Client(config)
  await c.connect()
  const since = clock()
  const cursor = c.query(new Cursor(stream))
  await cursor.read(5)
  const first = since()
  await cursor.read(5) // a resumed portal
  const stop = clock()
  await cursor.close()
  const took = stop()
  line('pg-cursor', 'read(5)', first, took, '-', await usable(c))
  await c.end()
}

async function pgQueryStream() {
  const c = new Client(config)
  await c.connect()
  const since = clock()
  const s = c.query(new QueryStream(stream, [], { batchSize: 1, highWaterMark: 1 }))
  let first, took, n = 0
  const stop = { at: undefined }
  for await (const _ of s) {
    first ??= since()
    if (++n === 3) { stop.at = clock(); break } // leaving the loop destroys the stream, which closes the portal
  }
  const ok = await usable(c)
  took = stop.at()
  line('pg-query-stream', 'batchSize 1', first, took, '-', ok)
  await c.end()
}

async function postgresJs() {
  const sql = postgres({ ...config, username: config.user, max: 1 })
  await sql`SELECT 1` // connects
  let since = clock(), first
  const q = sql.unsafe(stream)
  const each = q.forEach(() => { first ??= since() }).then(() => 'ended', (e) => e.code)
  await sleep(0.5)
  let stop = clock()
  q.cancel()
  let state = await each
  line('postgres.js', 'forEach()', first, stop(), state, (await sql`SELECT 1 AS one`)[0].one === 1)
  since = clock(); first = undefined
  for await (const _ of sql.unsafe(stream).cursor(5)) { first = since(); stop = clock(); break }
  const ok = (await sql`SELECT 1 AS one`)[0].one === 1
  line('postgres.js', 'cursor(5)', first, stop(), '-', ok)
  await sql.end()
}

async function main() {
  for (const [client, name] of [['node pg', 'pg'], ['pg-cursor', 'pg-cursor'], ['pg-query-stream', 'pg-query-stream'], ['postgres.js', 'postgres']]) {
    const file = require('path').join(__dirname, 'node_modules', name, 'package.json')
    console.log(['version', client, JSON.parse(require('fs').readFileSync(file)).version].join('\t'))
  }
  await guarded('node pg', 'on row', () => pgRows("on('row'), simple"))
  await guarded('node pg', 'on row, extended', () => pgRows("on('row'), extended", [-1]))
  await guarded('pg-cursor', 'read(5)', pgCursor)
  await guarded('pg-query-stream', 'batchSize 1', pgQueryStream)
  await guarded('postgres.js', 'forEach and cursor', postgresJs)
}

main().then(() => process.exit(0))
