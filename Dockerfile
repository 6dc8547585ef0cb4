# docker build -t llm-gateway .        docker run -p 8000:8000 llm-gateway        docs/deploy.md says the rest.
# The last stage begins with nothing: the executable, the libraries that it loads and the small models, no shell and no package manager.

FROM rust:1.95-bookworm AS base
# Debian keeps one version of a package per release: the release is the pin.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        binutils ca-certificates g++ gcc libssl-dev make pkg-config python3 python3-pip zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src

# What decides which dependencies are built, and an empty library for each crate. Other sources change and this stays the same, byte by
# byte, so the layer with the dependencies below is taken from the cache.
FROM base AS manifests
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock -delete \
    && find . -mindepth 2 -name Cargo.toml -execdir sh -c 'mkdir -p src && : > src/lib.rs' ';' \
    && echo 'fn main() {}' > relay/src/main.rs \
    && find . -type d -empty -delete

# A stage of its own, as a change of what surrounds Relay fetches it again: the dependencies below have nothing to do with that.
FROM base AS onnxruntime
COPY deploy/local deploy/local
RUN python3 deploy/local/local.py install onnxruntime

FROM base AS build
COPY --from=manifests /src .
RUN cargo build --release --locked -p relay
COPY . .
# Sources keep the time at which they were written, which may be before the empty ones were built.
RUN find . -path ./target -prune -o -name '*.rs' -exec touch '{}' + \
    && cargo build --release --locked -p relay
COPY --from=onnxruntime /src/.relay .relay
RUN python3 deploy/local/dist.py image /image \
    && mkdir /data

FROM scratch
COPY --from=build /image /
COPY --from=build --chown=10001:10001 /data /data
# Everything that Relay writes, so that `--read-only` works.
VOLUME /data
# The container's own loopback is nowhere. There are no API keys yet: publish the port where only friends reach it.
ENV PATH=/opt/relay \
    HOST=0.0.0.0 \
    RELAY_DATA=/data \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 10001:10001
WORKDIR /data
EXPOSE 8000 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/opt/relay/relay", "healthcheck"]
ENTRYPOINT ["/opt/relay/relay"]
CMD ["up"]
