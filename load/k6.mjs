// Runs a k6 script on Node, where k6 itself is not installed: node load/k6.mjs load/chat.k6.js
//
// Of k6 there is what chat.k6.js needs: scenarios of constant-arrival-rate, http.asyncRequest, check, Trend, Rate,
// Counter, thresholds on p(N), avg, max, rate and count. Ends with 99 where a threshold is crossed, as k6 does.
import { readFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { performance } from "node:perf_hooks";

const metrics = new Map();
const agent = new Agent({ keepAlive: true, maxSockets: Infinity });

class Metric {
  constructor(name) {
    const known = metrics.get(name);
    if (known) return known;
    this.values = [];
    metrics.set(name, this);
  }
  add(value) {
    this.values.push(Number(value));
  }
}
class Trend extends Metric {
  read(what) {
    const sorted = this.values.toSorted((a, b) => a - b);
    const percentile = /^p\((\d+(?:\.\d+)?)\)$/.exec(what);
    if (percentile) return sorted[Math.min(Math.floor((percentile[1] / 100) * sorted.length), sorted.length - 1)];
    if (what === "avg") return sorted.reduce((a, b) => a + b, 0) / sorted.length;
    if (what === "max") return sorted.at(-1);
    throw new Error(`a trend has no ${what}`);
  }
}
class Rate extends Metric {
  read(what) {
    if (what !== "rate") throw new Error(`a rate has no ${what}`);
    return this.values.length ? this.values.reduce((a, b) => a + b, 0) / this.values.length : 0;
  }
}
class Counter extends Metric {
  read(what) {
    if (what !== "count") throw new Error(`a counter has no ${what}`);
    return this.values.reduce((a, b) => a + b, 0);
  }
}

const checks = new Rate("checks");
const dropped = new Counter("dropped_iterations");

function check(value, conditions) {
  let whole = true;
  for (const condition of Object.values(conditions)) {
    const held = Boolean(condition(value));
    checks.add(held);
    whole &&= held;
  }
  return whole;
}

// Never rejects: like k6, what could not be asked has status 0.
function asyncRequest(method, url, body, { headers = {} } = {}) {
  return new Promise((resolve) => {
    const started = performance.now();
    const failure = (error) =>
      resolve({ status: 0, body: "", headers: {}, error: String(error), timings: { waiting: 0, duration: 0 } });
    const asked = request(url, { method, headers: { ...headers, "content-length": Buffer.byteLength(body) }, agent });
    asked.on("error", failure);
    asked.on("response", (answer) => {
      const waiting = performance.now() - started;
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("error", failure);
      answer.on("end", () => {
        const timings = { waiting, duration: performance.now() - started };
        resolve({ status: answer.statusCode, body: Buffer.concat(chunks).toString(), headers: answer.headers, timings });
      });
    });
    asked.end(body);
  });
}

async function load(path) {
  globalThis.__ENV = process.env;
  globalThis.k6 = { check, http: { asyncRequest }, metrics: { Trend, Rate, Counter } };
  const source = (await readFile(path, "utf8"))
    .replace(/^import (\{[^}]*\}) from "k6";$/m, "const $1 = globalThis.k6;")
    .replace(/^import http from "k6\/http";$/m, "const { http } = globalThis.k6;")
    .replace(/^import (\{[^}]*\}) from "k6\/metrics";$/m, "const $1 = globalThis.k6.metrics;");
  return import(`data:text/javascript;base64,${Buffer.from(source).toString("base64")}`);
}

// An iteration reads its number before it waits for anything, so a global will do.
async function run(script, { rate, duration, maxVUs }) {
  const total = Math.round(rate * Number.parseFloat(duration));
  const started = performance.now();
  const idle = Array.from({ length: maxVUs }, (_, index) => ({ id: index + 1, iteration: 0 })).reverse();
  const underWay = new Set();
  for (let number = 0; number < total; number++) {
    const wait = started + (number * 1000) / rate - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    const user = idle.pop();
    if (!user) {
      dropped.add(1);
      continue;
    }
    globalThis.__VU = user.id;
    globalThis.__ITER = user.iteration++;
    const iteration = script.default().finally(() => {
      idle.push(user);
      underWay.delete(iteration);
    });
    underWay.add(iteration);
  }
  await Promise.all(underWay);
}

const script = await load(process.argv[2]);
for (const scenario of Object.values(script.options.scenarios)) {
  if (scenario.executor !== "constant-arrival-rate") throw new Error(`${scenario.executor} needs k6 itself`);
  await run(script, scenario);
}
let crossed = false;
for (const [name, conditions] of Object.entries(script.options.thresholds)) {
  for (const condition of conditions) {
    const [, what, comparison, limit] = /^(.+?)(<=|>=|<|>)(.+)$/.exec(condition);
    const value = metrics.get(name).read(what);
    const holds = { "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b };
    const held = value !== undefined && holds[comparison](value, Number(limit));
    crossed ||= !held;
    console.log(`${held ? "✓" : "✗"} ${name} ${condition}: ${value?.toFixed(3)}`);
  }
}
console.log(`${checks.values.length / 2} answers, ${metrics.get("events")?.read("count") ?? 0} events`);
agent.destroy();
process.exit(crossed ? 99 : 0);
