# Each target does all of its set-up on a machine that has Node.js 20.19 or newer, npm and make.
.PHONY: demo test interop build soak bench clean

build: node_modules/.installed
	@npm run --silent build

node_modules/.installed: package-lock.json package.json $(wildcard packages/*/package.json)
	npm ci --ignore-scripts --no-fund --no-audit
	@touch $@

# The main job on the built-in lab: two nodes, 64 MiB and an HTTP request through the tunnel, by name. Then the daemon with
# a tailnet and, where Nebula is installed, a Nebula team.
demo: build
	@node packages/lab/dist/demo/main.js
	@node packages/daemon/dist/demo/teams-demo.js

# Everything that needs neither Go, root nor the network.
test: build
	npm run --silent check

# The same product against real tailscaled, derper, Tailscale's test coordination server, and headscale if it is on PATH.
interop: build
	tests/interop/install.sh
	npx --no -- vitest run --config vitest.interop.config.ts

# Past two WireGuard rekeys in real time against a real tailscaled: more than five minutes.
soak: build
	tests/interop/install.sh
	npx --no -- vitest run --config vitest.soak.config.ts

bench: build
	tests/interop/install.sh
	npx --no -- vitest run --config vitest.bench.config.ts

clean:
	rm -rf node_modules packages/*/dist packages/*/node_modules
