# syntax=docker/dockerfile:1
# The sandbox: numpy, sympy and nothing that a step should not have. No torch.
FROM python:3.12.12-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY services services
COPY trainer trainer
COPY rstar rstar
RUN /venv/bin/pip install ".[sandbox,tracing]"

FROM python:3.12.12-slim-bookworm
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["python", "-m", "services.sandbox"]
