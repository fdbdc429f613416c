// mysql2: binary protocol, statements kept prepared by the driver.
const fs = require('fs');
const mysql = require('mysql2/promise');
const [port, password, client, end] = process.argv.slice(2);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function connect() {
  const c = await mysql.createConnection({ host: '127.0.0.1', port: +port, user: 'app', password, database: 'shop' });
  c.on('error', () => {}); // told again by the statement that meets it
  await c.query("SET @mark = ?, time_zone = '+03:00'", [+client]);
  return c;
}

async function round(c, seq) {
  await c.beginTransaction();
  await c.execute('UPDATE accounts SET balance = balance + 0 WHERE id = ?', [+client]);
  await c.execute('INSERT INTO entries (client, seq, note) VALUES (?, ?, ?)', [+client, seq, 'é'.repeat(seq % 20)]);
  const [[row]] = await c.execute('SELECT @mark AS mark, @@time_zone AS zone');
  if (+row.mark !== +client || row.zone !== '+03:00') console.log('lost', row.mark, row.zone);
  await c.commit();
}

(async () => {
  let c = null;
  for (let seq = 1; !fs.existsSync(end); seq++) {
    try {
      c = c || (await connect());
      await round(c, seq);
      console.log('ok', seq);
    } catch (e) {
      console.log('error', e.errno || 0, String(e.message).replace(/\n/g, ' '));
      if (c) c.destroy();
      c = null;
      await sleep(50);
    }
    await sleep(5);
  }
  console.log('bye');
  process.exit(0);
})();
