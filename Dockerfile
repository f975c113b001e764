# Two stages: the first compiles what needs a compiler, the second has none.
FROM python:3.11-slim AS build
# A pinned compiler of Debian would be gone with its next update.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
RUN python -m venv /opt/venv
COPY requirements.txt ./
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
# --build-arg PROMPT_CANARY_PURE=1: interpreted, for a quick build where speed does not matter.
ARG PROMPT_CANARY_PURE=
COPY pyproject.toml setup.py README.md LICENSE ./
COPY gateway ./gateway
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/prompt-canary --create-home canary
COPY --from=build /opt/venv /opt/venv
COPY config /etc/prompt-canary
USER 10001
WORKDIR /var/lib/prompt-canary
VOLUME /var/lib/prompt-canary
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["/opt/venv/bin/python", "-c", \
    "import urllib.request as u; u.urlopen('http://127.0.0.1:8081/healthz', timeout=2)"]
ENTRYPOINT ["/opt/venv/bin/prompt-canary"]
CMD ["serve", "--config", "/etc/prompt-canary/gateway.yaml"]
