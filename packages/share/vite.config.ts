import { defineConfig } from 'vite'

export default defineConfig({
  // Relative URLs, so that the page works below any path.
  base: './',
  resolve: { conditions: ['@peerage/source', 'module', 'browser'] },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    target: 'es2022',
    // The content security policy of the page allows neither inline scripts nor data: URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
})
