# syntax=docker/dockerfile:1
# The image holds the program and the shared libraries that it is linked to, and nothing else: no shell, no package
# manager, no Python. It runs as an unprivileged user and needs no writable file system:
#
#   docker build -t saccade .
#   docker run --rm --read-only --cap-drop ALL -p 8080:8080 saccade
FROM debian:bookworm-slim AS build
COPY deploy/install-packages /src/deploy/
RUN /src/deploy/install-packages build && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN meson setup /build /src --prefix=/usr --sysconfdir=/etc -Dstrip=true \
 && meson compile -C /build saccade \
 && DESTDIR=/install meson install -C /build \
 && /src/docker/collect /install/usr/bin/saccade /image

FROM scratch
COPY --from=build /image /
ENV SACCADE_LOG_FORMAT=json
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
# No HEALTHCHECK: it would need a client inside the image. Orchestrators ask /livez and /readyz over HTTP.
ENTRYPOINT ["/usr/bin/saccade"]
CMD ["serve", "--listen", "0.0.0.0:8080"]
LABEL org.opencontainers.image.title="saccade" \
      org.opencontainers.image.description="Image classification over HTTP on CPUs" \
      org.opencontainers.image.licenses="Apache-2.0"
