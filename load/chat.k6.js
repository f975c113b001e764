// k6: a constant rate of arrivals, every answer streamed, whether the last ones are there or not.
//
//   k6 run load/chat.k6.js                        (make load-k6 does it all)
//   RATE=50 SECONDS=60 ADDED_MS=20 URL=http://127.0.0.1:8080/v1 k6 run load/chat.k6.js
//
// The simulated provider answers after FIRST_TOKEN_MS; what the first byte takes longer is what was added.
import { check } from "k6";
import http from "k6/http";
import { Counter, Rate, Trend } from "k6/metrics";

const URL = __ENV.URL || "http://127.0.0.1:8080/v1";
const FIRST_TOKEN_MS = Number(__ENV.FIRST_TOKEN_MS || 100);
const TURNS = 4;

const added = new Trend("added_first_byte", true);
const failed = new Rate("failed");
const events = new Counter("events");

export const options = {
  scenarios: {
    chat: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE || 20),
      timeUnit: "1s",
      duration: `${__ENV.SECONDS || 20}s`,
      preAllocatedVUs: 50,
      maxVUs: 500,
    },
  },
  thresholds: {
    added_first_byte: [`p(95)<${__ENV.ADDED_MS || 50}`],
    failed: ["rate<0.01"],
    dropped_iterations: ["count<1"],
  },
};

export default async function () {
  const session = `k6-${__VU}-${Math.floor(__ITER / TURNS)}`;
  const messages = [{ role: "user", content: `conversation ${session}: where is my order?` }];
  for (let turn = 0; turn < __ITER % TURNS; turn++) {
    messages.push({ role: "assistant", content: "It is on its way." }, { role: "user", content: "And now?" });
  }
  const answer = await http.asyncRequest(
    "POST",
    `${URL}/chat/completions`,
    JSON.stringify({ model: "gpt-4o-mini", messages, stream: true }),
    {
      headers: {
        "content-type": "application/json",
        authorization: "Bearer sk-load",
        "x-session-id": session,
        "x-sim-first-token-ms": String(FIRST_TOKEN_MS),
      },
    },
  );
  const whole = check(answer, {
    "is 200": (each) => each.status === 200,
    "ends with [DONE]": (each) => each.body.trimEnd().endsWith("data: [DONE]"),
  });
  failed.add(!whole);
  events.add(answer.body.split("data: ").length - 1);
  if (whole) added.add(answer.timings.waiting - FIRST_TOKEN_MS);
}
