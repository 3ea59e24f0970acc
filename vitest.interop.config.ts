import { defineConfig } from 'vitest/config';

/** Real programs on two cores: one file at a time, generous limits, each wait bounded by its own deadline. */
export default defineConfig({
  resolve: { conditions: ['heddle-source'] },
  ssr: { resolve: { conditions: ['heddle-source', 'node', 'import', 'module', 'default'] } },
  test: {
    include: ['tests/interop/**/*.test.ts'],
    exclude: ['tests/interop/soak.test.ts'],
    fileParallelism: false,
    testTimeout: 90_000,
    hookTimeout: 60_000,
  },
});
