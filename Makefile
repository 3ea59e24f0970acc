# Each target does all of its set-up on a machine that has Node.js 20.19 or newer, npm and make.
.PHONY: demo test interop build soak bench clean install install_tun uninstall uninstall_tun

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

# A REST daemon as a service, and the command heddle: install_tun has TUN devices on port 3030, install local subnets on port
# 3031. It takes root, or sudo where it is not root; the building is done by whoever began it. With DESTDIR the files go
# below that folder, for a package, and no service is touched.
PREFIX ?= /usr/local
DESTDIR ?=
NODE := $(shell command -v node)
IS_ROOT := $(filter 0,$(shell id -u))
AS_ROOT := $(if $(DESTDIR)$(IS_ROOT),,sudo)
AS_USER := $(if $(and $(IS_ROOT),$(SUDO_USER)),sudo -H -u '$(SUDO_USER)' env 'PATH=$(PATH)')
INSTALLER := $(AS_ROOT) '$(NODE)' packages/daemon/install/install.mjs --prefix '$(PREFIX)' --destdir '$(DESTDIR)'

install uninstall: DAEMON := subnet
install_tun uninstall_tun: DAEMON := tun

install install_tun:
	@$(AS_USER) $(MAKE) --no-print-directory build
	@$(INSTALLER) install $(DAEMON)

# Every device that the daemon made goes with it, and its logs and its state.
uninstall uninstall_tun:
	@$(INSTALLER) uninstall $(DAEMON)

clean:
	rm -rf node_modules packages/*/dist packages/*/node_modules
