# One image for nodes (serve) and for the standalone P2P server (stun), amd64 and arm64:
#   docker buildx build --platform linux/amd64,linux/arm64 -t peerage:0.1.0 .
# It contains only JavaScript without native code, so it is built once, on the builder's own platform.

FROM --platform=$BUILDPLATFORM node:26-trixie-slim AS build
WORKDIR /src
COPY package.json package-lock.json tsconfig.json tsconfig.base.json ./
COPY packages/protocol/package.json packages/protocol/
COPY packages/core/package.json packages/core/
COPY packages/redis/package.json packages/redis/
COPY packages/node-links/package.json packages/node-links/
COPY packages/stun/package.json packages/stun/
COPY packages/server/package.json packages/server/
COPY packages/client/package.json packages/client/
COPY packages/share/package.json packages/share/
# None of these packages needs to run an install script.
RUN npm ci --ignore-scripts --omit=dev --no-audit --no-fund
COPY scripts scripts
COPY deploy/haproxy.cfg deploy/
COPY packages packages
# Node loads neither types nor source maps. The server's dist has its own copy of the SDK as one file.
RUN node scripts/build.mjs --no-install && \
    find packages/*/dist \( -name '*.d.ts' -o -name '*.map' \) -delete && \
    rm -r packages/client/dist/bundle

# Only what a node needs at run time: production packages and our own compiled ones. The server's dist contains the page.
FROM --platform=$BUILDPLATFORM node:26-trixie-slim AS app
WORKDIR /app
COPY --from=build /src/package.json /src/package-lock.json ./
COPY --from=build /src/packages/protocol/package.json packages/protocol/
COPY --from=build /src/packages/core/package.json packages/core/
COPY --from=build /src/packages/redis/package.json packages/redis/
COPY --from=build /src/packages/node-links/package.json packages/node-links/
COPY --from=build /src/packages/stun/package.json packages/stun/
COPY --from=build /src/packages/server/package.json packages/server/
COPY --from=build /src/packages/client/package.json packages/client/
COPY --from=build /src/packages/share/package.json packages/share/
# npm puts a package of which workspaces need different versions below packages/*/node_modules. Then goes what Node never
# loads: npm's own records, types, source maps, and the tests, examples and texts of packages. Their licenses stay.
RUN npm ci --ignore-scripts --no-audit --no-fund --omit=dev --omit=optional --omit=peer \
      --workspace packages/server --workspace packages/redis --workspace packages/node-links \
      --workspace packages/core --workspace packages/protocol --workspace packages/stun \
      --workspace packages/client && \
    rm -r package.json package-lock.json packages/share \
      node_modules/.package-lock.json node_modules/.bin node_modules/@types node_modules/undici-types && \
    find . -regextype posix-extended -type d \
      -regex '.*/node_modules/(@[^/]+/)?[^/]+/(tests?|examples|benchmarks|fixtures|docs|\.[^/]+)' -prune -exec rm -r {} + && \
    find . -path '*/node_modules/*' -type f ! -iname 'licen[cs]e*' \
      \( -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.map' -o -name '*.md' -o -name '.*' \
      -o -name '*.test.js' -o -name test.js -o -name bench.js -o -name example.js \) -delete && \
    find . -type d -empty -delete
COPY --from=build /src/packages/protocol/dist packages/protocol/dist
COPY --from=build /src/packages/core/dist packages/core/dist
COPY --from=build /src/packages/redis/dist packages/redis/dist
COPY --from=build /src/packages/node-links/dist packages/node-links/dist
COPY --from=build /src/packages/stun/dist packages/stun/dist
COPY --from=build /src/packages/client/dist packages/client/dist
COPY --from=build /src/packages/server/dist packages/server/dist
COPY --from=build /src/packages/server/bin packages/server/bin
COPY LICENSE ./

# No shell and no package manager. node is process 1, and drains when it receives SIGTERM.
FROM gcr.io/distroless/nodejs26-debian13:nonroot
ENV NODE_ENV=production \
    PEERAGE_HOST=0.0.0.0
# Apart from our own files, so that an update of Peerage fetches only its own layer.
COPY --from=app /app/node_modules /app/node_modules
COPY --from=app /app/LICENSE /app/LICENSE
COPY --from=app /app/packages /app/packages
# After COPY, which makes the folder as root. WORKDIR would give it to the base's user.
WORKDIR /app
# A number, so that Kubernetes can check that the user is not root.
USER 65532
EXPOSE 9000/tcp 9001/udp 9100/tcp 9200/tcp 9901/tcp 9901/udp
STOPSIGNAL SIGTERM
# Checks the process alone, not Redis: a node without Redis must not be restarted.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["/nodejs/bin/node", "packages/server/bin/healthcheck.js", "http://127.0.0.1:9000/healthz"]
ENTRYPOINT ["/nodejs/bin/node", "packages/server/bin/peerage.js"]
# Beyond loopback a node starts only with a rule for access: PEERAGE_ORIGINS, PEERAGE_ACCESS_KEY_FILE, or PEERAGE_OPEN.
CMD ["serve"]
