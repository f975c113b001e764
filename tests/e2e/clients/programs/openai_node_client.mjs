// openai-node. Its package is in another folder, given on standard input.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const given = JSON.parse(readFileSync(0, "utf8"));
const need = createRequire(join(given.modules, "program.cjs"));
const { OpenAI } = need("openai");
const { zodResponseFormat, zodTextFormat } = need("openai/helpers/zod");
const { z } = need("zod");

const client = new OpenAI({ baseURL: given.base_url, apiKey: "sk-test", maxRetries: 0 });
const chat = client.chat.completions;
const model = given.model;
const messages = [{ role: "user", content: given.question }];
const tools = [{ type: "function", function: given.tool }];
const Forecast = z.object({ city: z.string(), days: z.number().int() });
const response_format = zodResponseFormat(Forecast, "forecast");

const shown = (call) => ({ name: call.function.name, arguments: JSON.parse(call.function.arguments), id: call.id });

async function whole() {
  const { data, response } = await chat.create({ model, messages }).withResponse();
  return {
    text: data.choices[0].message.content,
    finish: data.choices[0].finish_reason,
    version: response.headers.get("x-prompt-version"),
    request_id: data._request_id,
    tokens: data.usage.total_tokens,
  };
}

async function stream(options = {}) {
  const { data, response } = await chat.create({ model, messages, stream: true, ...options }).withResponse();
  const found = { version: response.headers.get("x-prompt-version"), text: "", events: 0 };
  for await (const chunk of data) {
    found.events += 1;
    found.tokens = chunk.usage ? chunk.usage.total_tokens : null;
    for (const choice of chunk.choices) {
      found.text += choice.delta.content ?? "";
      found.finish = choice.finish_reason;
    }
  }
  return found;
}

async function image() {
  const content = [
    { type: "text", text: given.question },
    { type: "image_url", image_url: { url: given.image, detail: "low" } },
  ];
  const answer = await chat.create({ model, messages: [{ role: "user", content }] });
  return { text: answer.choices[0].message.content };
}

async function refused(headers) {
  return { text: JSON.stringify(await chat.create({ model, messages }, { headers })) };
}

async function broken() {
  let text = "";
  try {
    const headers = { "x-sim-fault": "reset_mid_stream" };
    for await (const chunk of await chat.create({ model, messages, stream: true }, { headers })) {
      text += chunk.choices[0].delta.content ?? "";
    }
  } catch (error) {
    return { text, ...failure(error) };
  }
  return { text, error: null };
}

// --- /v1/responses

const input = given.question;
const flatTools = [{ type: "function", strict: false, ...given.tool }];
const text = { format: zodTextFormat(Forecast, "forecast") };

async function answer() {
  const { data, response } = await client.responses.create({ model, input }).withResponse();
  return {
    text: data.output_text,
    finish: data.status,
    version: response.headers.get("x-prompt-version"),
    request_id: data._request_id,
    tokens: data.usage.total_tokens,
  };
}

async function answerStream() {
  const { data, response } = await client.responses.create({ model, input, stream: true }).withResponse();
  const found = { version: response.headers.get("x-prompt-version"), text: "", events: 0 };
  for await (const event of data) {
    found.events += 1;
    if (event.type === "response.output_text.delta") found.text += event.delta;
    if (event.type === "response.completed") {
      found.tokens = event.response.usage.total_tokens;
      found.finish = event.response.status;
    }
  }
  return found;
}

function called(response) {
  const call = response.output.find((item) => item.type === "function_call");
  return { name: call.name, arguments: JSON.parse(call.arguments), id: call.call_id };
}

async function answerImage() {
  const content = [
    { type: "input_text", text: given.question },
    { type: "input_image", image_url: given.image, detail: "low" },
  ];
  return { text: (await client.responses.create({ model, input: [{ role: "user", content }] })).output_text };
}

async function answerRefused(headers) {
  return { text: JSON.stringify(await client.responses.create({ model, input }, { headers })) };
}

async function answerBroken() {
  let text = "";
  try {
    const headers = { "x-sim-fault": "reset_mid_stream" };
    for await (const event of await client.responses.create({ model, input, stream: true }, { headers })) {
      text += event.delta ?? "";
    }
  } catch (error) {
    return { text, ...failure(error) };
  }
  return { text, error: null };
}

function failure(error) {
  const kinds = [];
  for (let kind = error.constructor; kind && kind.name; kind = Object.getPrototypeOf(kind)) kinds.push(kind.name);
  return {
    error: error.constructor.name,
    kinds,
    message: error.message,
    status_code: error.status,
    code: error.code,
    param: error.param,
    request_id: error.requestID,
  };
}

const attempts = {
  whole,
  stream,
  stream_usage: () => stream({ stream_options: { include_usage: true } }),
  tool: async () => shown((await chat.create({ model, messages, tools })).choices[0].message.tool_calls[0]),
  tool_stream: async () => shown((await chat.stream({ model, messages, tools }).finalMessage()).tool_calls[0]),
  image,
  parsed: async () => ({ parsed: (await chat.parse({ model, messages, response_format })).choices[0].message.parsed }),
  parsed_stream: async () => ({
    parsed: (await chat.stream({ model, messages, response_format }).finalMessage()).parsed,
  }),
  error_upstream: () => refused({ "x-sim-fault": "status_400" }),
  error_busy: () => refused({ "x-sim-fault": "status_429" }),
  error_ours: () => refused({ "x-prompt": "nobody" }),
  error_mid_stream: broken,
  responses_whole: answer,
  responses_stream: answerStream,
  responses_tool: async () => called(await client.responses.create({ model, input, tools: flatTools })),
  responses_tool_stream: async () =>
    called(await client.responses.stream({ model, input, tools: flatTools }).finalResponse()),
  responses_image: answerImage,
  responses_parsed: async () => ({ parsed: (await client.responses.parse({ model, input, text })).output_parsed }),
  responses_parsed_stream: async () => ({
    parsed: (await client.responses.stream({ model, input, text }).finalResponse()).output_parsed,
  }),
  responses_error_upstream: () => answerRefused({ "x-sim-fault": "status_400" }),
  responses_error_busy: () => answerRefused({ "x-sim-fault": "status_429" }),
  responses_error_ours: () => answerRefused({ "x-prompt": "nobody" }),
  responses_error_mid_stream: answerBroken,
};

const results = {};
for (const [name, work] of Object.entries(attempts)) {
  results[name] = await work().catch(failure);
}
console.log(JSON.stringify(results));
