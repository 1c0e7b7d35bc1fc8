# syntax=docker/dockerfile:1
# The trainer: harvest, selection, training, evaluation, rounds. ENGINE is gpu or cpu, as for the policy.
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
# Without the pin PyPI's newer torch, which is for CUDA, would win over the CPU build.
ARG TORCH_CPU=2.13.0+cpu
RUN if [ "$ENGINE" = cpu ]; then \
      /venv/bin/pip install --extra-index-url https://download.pytorch.org/whl/cpu \
        "torch==$TORCH_CPU" ".[trainer,models,s3]"; \
    else \
      /venv/bin/pip install ".[trainer,models,s3]"; \
    fi

FROM python:3.12.12-slim-bookworm
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["rstar"]
