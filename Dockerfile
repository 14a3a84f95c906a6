# docker build -t landfall --build-arg VERSION=v1.2.3 .
# docker run --stop-timeout 60 -e LANDFALL_NODE=n1 -v n1:/data -v ./cluster.yaml:/etc/landfall/cluster.yaml:ro landfall
# In cluster.yaml: data: /data, and listen: 0.0.0.0 for each node. Stopping takes
# a node up to about 45 s.

# It is compiled on the builder's own platform, for the one that is asked for.
FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ENV GOCACHE=/go/cache
ARG TARGETOS TARGETARCH VERSION
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X landfall/cli.version=$VERSION" -o /out/app .
RUN mkdir -p /out/data /out/etc/ssl/certs \
    && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ \
    && echo 'landfall:x:65532:65532::/data:/nonexistent' > /out/etc/passwd

# Nothing but the binary, the certificates that a Postgres over TLS is checked
# against, and the user's name. A new volume at /data belongs to that user.
FROM scratch
COPY --from=build /out/etc /etc
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build /out/app /app
ENV LANDFALL_CONFIG=/etc/landfall/cluster.yaml HOME=/data
USER 65532:65532
VOLUME /data
# NATS clients, the other nodes, HTTP; cluster.yaml decides.
EXPOSE 4222 6222 8080
STOPSIGNAL SIGTERM
# Can the node that LANDFALL_NODE names acknowledge messages?
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s CMD ["/app", "health"]
ENTRYPOINT ["/app"]
