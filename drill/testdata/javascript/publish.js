// Publishes messages with ids, as any program in JavaScript would: it waits for
// the acknowledgement of each, and repeats under the same id what was not
// acknowledged. For each it prints one line: its id, and the sequence it got.
//
//   node publish.js SERVER[,SERVER...] RUN COUNT
import { connect } from "@nats-io/transport-node";
import { jetstream } from "@nats-io/jetstream";

const [servers, run, count] = process.argv.slice(2);
const nc = await connect({
  servers: servers.split(","),
  maxReconnectAttempts: -1,
  reconnectTimeWait: 50,
  pingInterval: 2000,
});
const js = jetstream(nc);

async function deliver(n) {
  const id = `${run}-${n}`;
  const body = JSON.stringify({ run, n });
  for (let attempt = 0; ; attempt++) {
    try {
      const ack = await js.publish("messages.javascript", body, { msgID: id, timeout: 1000, retries: 0 });
      console.log(`${id} ${ack.seq}`);
      return;
    } catch (err) {
      if (attempt === 200) throw err;
      await new Promise((again) => setTimeout(again, 50 + Math.random() * 100));
    }
  }
}

// So many wait for their acknowledgement at once.
const publishers = 64;
let next = 0;
await Promise.all(Array.from({ length: publishers }, async () => {
  while (next < Number(count)) await deliver(next++);
}));
await nc.close();
