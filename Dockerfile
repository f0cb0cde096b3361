# syntax=docker/dockerfile:1
# The server in a small image: no compiler, no root, nothing written outside of /app/data and /tmp.
#   docker build -t lightrag-server .
# With the libraries of the model service, to be run with `python -m llmservice` as entry point:
#   docker build -t lightrag-server:llmservice --build-arg REQUIREMENTS=llmservice .

ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
# The locked dependencies change rarely: they are a layer of their own.
ARG REQUIREMENTS=base
COPY requirements/base.lock requirements/llmservice.lock requirements/
RUN /venv/bin/pip install --require-hashes -r "requirements/${REQUIREMENTS}.lock"
COPY pyproject.toml README.md LICENSE ./
COPY src src
# What the build needs does not go into the image.
RUN /venv/bin/pip install --no-deps --no-build-isolation . \
    && /venv/bin/pip uninstall --yes hatchling editables pip
# The root file system is read-only later; files that are templates and no modules do not compile.
RUN python -m compileall -q /venv/lib || true

FROM ${PYTHON}
LABEL org.opencontainers.image.title="lightrag-server" \
      org.opencontainers.image.description="Self-hosted knowledge-graph RAG server" \
      org.opencontainers.image.licenses="MIT AND Apache-2.0"
RUN groupadd --system --gid 10001 lightrag \
    && useradd --system --uid 10001 --gid 10001 --home-dir /app --no-create-home --shell /usr/sbin/nologin lightrag \
    && mkdir -p /app/data \
    && chown 10001:10001 /app/data
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    WORKING_DIR=/app/data/rag_storage \
    INPUT_DIR=/app/data/inputs
WORKDIR /app
USER 10001:10001
VOLUME /app/data
EXPOSE 9621
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-m", "lightrag.api.healthcheck"]
ENTRYPOINT ["python", "-m", "lightrag.api.lightrag_server"]
