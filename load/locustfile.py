"""Locust: each user talks in conversations of two to six turns, resends the history, and rates some answers.

locust -f load/locustfile.py -H http://127.0.0.1:8080      (make load-locust does it all)
"""

import json
import random
import uuid

from locust import HttpUser, between, task

MODEL = "gpt-4o-mini"
SAYING = "where is my order please it was due on monday and nobody answers can you help me return it"
WORDS = SAYING.split()


class Person(HttpUser):
    wait_time = between(0.1, 1.0)

    def on_start(self) -> None:
        self.rng = random.Random(uuid.uuid4().int)

    @task(3)
    def conversation(self) -> None:
        session = f"conversation-{uuid.uuid4()}"
        messages = []
        for _ in range(self.rng.randint(2, 6)):
            messages.append({"role": "user", "content": self.say()})
            stream = self.rng.random() < 0.5
            text, request_id = self.streamed(messages, session) if stream else self.whole(messages, session)
            if text is None:
                return
            messages.append({"role": "assistant", "content": text})
            if request_id and self.rng.random() < 0.3:
                self.rate(request_id)
            self.wait()

    @task(1)
    def one_question(self) -> None:
        self.whole([{"role": "user", "content": self.say()}], f"question-{uuid.uuid4()}")

    def say(self) -> str:
        return " ".join(self.rng.choices(WORDS, k=self.rng.randint(4, 40)))

    def ask(self, messages: list, session: str, *, stream: bool):
        body = {"model": MODEL, "messages": messages, "stream": stream}
        return self.client.post(
            "/v1/chat/completions",
            json=body,
            headers={"x-session-id": session, "authorization": "Bearer sk-load"},
            name="chat, streamed" if stream else "chat",
            stream=stream,
            catch_response=True,
        )

    def whole(self, messages: list, session: str) -> tuple[str | None, str]:
        with self.ask(messages, session, stream=False) as answer:
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code}: {answer.text[:200]}")
                return None, ""
            if not self.same_version(session, answer):
                answer.failure("the conversation changed its version")
            return answer.json()["choices"][0]["message"]["content"], answer.headers.get("x-request-id", "")

    def streamed(self, messages: list, session: str) -> tuple[str | None, str]:
        with self.ask(messages, session, stream=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code}")
                return None, ""
            said, done = [], False
            for line in answer.iter_lines():
                if line == b"data: [DONE]":
                    done = True
                elif line.startswith(b"data: "):
                    choices = json.loads(line[6:]).get("choices") or [{}]
                    said.append((choices[0].get("delta") or {}).get("content") or "")
            if not done:
                answer.failure("the stream ended without [DONE]")
            elif not self.same_version(session, answer):
                answer.failure("the conversation changed its version")
            return "".join(said), answer.headers.get("x-request-id", "")

    def same_version(self, session: str, answer) -> bool:
        """A rollback moves conversations; without one, a conversation keeps its version."""
        version = answer.headers.get("x-prompt-version")
        before, self.seen = getattr(self, "seen", None), (session, version)
        return before is None or before[0] != session or before[1] == version

    def rate(self, request_id: str) -> None:
        score = self.rng.choice(["up", "up", "down"])
        self.client.post("/v1/feedback", json={"request_id": request_id, "score": score}, name="feedback")
