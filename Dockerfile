# epimesh in a container: the web page and HTTP API by default, every other command by name.
#
#   docker build -t epimesh .                                            CPU, about 4 GB
#   docker build -t epimesh:cuda --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .
#   docker run --rm -p 127.0.0.1:7860:7860 epimesh                       the page
#   docker run --rm -v "$PWD:/data" epimesh run /data/chair.jpg --out /data/chair
#
# The wheels of CUDA builds bring their libraries; the host brings the driver and nvidia-container-toolkit (--gpus all).
FROM python:3.11-slim-bookworm AS build

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG TORCH_VERSION=2.13.0
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

RUN python -m venv /opt/epimesh
ENV PATH=/opt/epimesh/bin:$PATH
RUN pip install --index-url "${TORCH_INDEX}" "torch==${TORCH_VERSION}"

WORKDIR /source
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY epimesh ./epimesh
# hadolint ignore=DL3013  # versions are bounded in pyproject.toml
RUN pip install ".[app]"

FROM python:3.11-slim-bookworm

# Open3D needs these two; everything else is in the wheels.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 libx11-6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 epimesh \
    && install --directory --owner epimesh /data

COPY --from=build /opt/epimesh /opt/epimesh
ENV PATH=/opt/epimesh/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CACHE_DIR=/tmp/numba

USER 1000
WORKDIR /data
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/health', timeout=4)"]

ENTRYPOINT ["epimesh"]
# Inside a container 0.0.0.0 is its own network: who may come in is what `docker run -p` says. The name is the host's.
CMD ["serve", "--host", "0.0.0.0", "--name", "localhost", "--name", "127.0.0.1"]
