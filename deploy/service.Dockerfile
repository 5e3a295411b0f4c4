# The server without a trainer: no torch, no onnx. Built for the CPU; the arguments of
# statewise-cuda in docker-compose.yml build it for a GPU.
#
#   docker build -f deploy/service.Dockerfile -t statewise .
#
# One recipe for both: ONNX Runtime's GPU build, which both carry, runs on the CPU too, and EXTRAS
# adds the CUDA libraries that it needs on a GPU.

FROM python:3.11.14-slim-bookworm AS base

FROM base AS build

ARG EXTRAS=service
# The base's pip installs into an environment that has none of its own.
ENV PIP_PYTHON=/opt/venv/bin/python
RUN python -m venv --without-pip /opt/venv
WORKDIR /build
COPY pyproject.toml README.md ./
RUN pip install --no-cache-dir "./[${EXTRAS}]"

FROM base

# A number, since Kubernetes can't tell from a name that it isn't root.
ARG UID=10001
RUN useradd --uid "${UID}" --no-create-home --shell /usr/sbin/nologin statewise
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY protos protos
COPY service service

ARG PROVIDER=cpu
# Nobody is let in by default: a container starts with STATEWISE_TOKEN_FILE, STATEWISE_TLS_CLIENT_CA,
# or STATEWISE_INSECURE_ANY_HOST=true where only trusted callers reach its port.
# ONNX Runtime reports its use to its makers, unless it is told not to before it is imported.
ENV ORT_DISABLE_TELEMETRY=1 \
    PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STATEWISE_HOST=0.0.0.0 \
    STATEWISE_METRICS_HOST=0.0.0.0 \
    STATEWISE_MODEL_REPOSITORY=/models \
    STATEWISE_PROVIDER=${PROVIDER}

USER ${UID}:${UID}
EXPOSE 8500 9100
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-m", "service", "health"]
ENTRYPOINT ["python", "-m", "service"]
CMD ["serve"]
