// Command testcontrol runs the coordination server of Tailscale's own integration tests as a process, with a small
// admin API on a second port so that any test can drive it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/dnstype"
	"tailscale.com/types/key"
)

var (
	listen      = flag.String("listen", "127.0.0.1:8085", "coordination server, plain HTTP")
	admin       = flag.String("admin", "127.0.0.1:8086", "admin API")
	baseURL     = flag.String("url", "", "URL that nodes use; default http://<listen>")
	derpMap     = flag.String("derp-map", "", "file with a tailcfg.DERPMap as JSON (required)")
	authKey     = flag.String("authkey", "", "refuse nodes without this pre-auth key")
	requireAuth = flag.Bool("require-auth", false, "interactive login: POST /auth?url=… on the admin API completes it")
	domain      = flag.String("domain", "ts.test", "MagicDNS domain")
	verbose     = flag.Bool("v", false, "log every request")
)

func main() {
	flag.Parse()
	var dm tailcfg.DERPMap
	b, err := os.ReadFile(*derpMap)
	if err == nil {
		err = json.Unmarshal(b, &dm)
	}
	if err != nil {
		log.Fatalf("-derp-map: %v", err)
	}
	if *baseURL == "" {
		*baseURL = "http://" + *listen
	}
	s := &testcontrol.Server{
		ExplicitBaseURL: *baseURL, DERPMap: &dm, RequireAuth: *requireAuth, RequireAuthKey: *authKey,
		MagicDNSDomain: *domain, Verbose: *verbose, AllNodesSameUser: true, AllOnline: true,
		DNSConfig: &tailcfg.DNSConfig{Proxied: true, Domains: []string{*domain}, Routes: map[string][]*dnstype.Resolver{*domain: {}}},
	}
	go func() { log.Fatal(http.ListenAndServe(*admin, adminMux(s))) }()
	fmt.Printf("ready %s admin http://%s\n", *baseURL, *admin)
	log.Fatal(http.ListenAndServe(*listen, pong(s)))
}

func nodeKey(r *http.Request) (k key.NodePublic, err error) {
	err = k.UnmarshalText([]byte(param(r, "node")))
	return k, err
}

// param reads the query only: FormValue would consume the body.
func param(r *http.Request, name string) string { return r.URL.Query().Get(name) }

// pong answers the URLs of ping requests (/pong…), which the test server itself would panic on.
func pong(s http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/pong") {
			b, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
			log.Printf("pong %s %s %d bytes", r.Method, r.URL, len(b))
			return
		}
		s.ServeHTTP(w, r)
	})
}

// adminMux documents itself: GET / lists what there is.
func adminMux(s *testcontrol.Server) http.Handler {
	mux := http.NewServeMux()
	var help []string
	handle := func(pattern, what string, f func(r *http.Request) (any, error)) {
		help = append(help, pattern+"  "+what)
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := f(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(v)
		})
	}
	// withNode runs f for the node named by ?node=nodekey:…
	withNode := func(f func(k key.NodePublic, r *http.Request) (any, error)) func(r *http.Request) (any, error) {
		return func(r *http.Request) (any, error) {
			k, err := nodeKey(r)
			if err != nil {
				return nil, fmt.Errorf("node: %w", err)
			}
			return f(k, r)
		}
	}
	handle("GET /nodes", "every node as tailcfg.Node", func(r *http.Request) (any, error) { return s.AllNodes(), nil })
	handle("POST /auth", "?url=AUTH_URL completes an interactive login", func(r *http.Request) (any, error) {
		return s.CompleteAuth(param(r, "url")), nil
	})
	handle("POST /expire", "?on=true|false every node's key is expired, or no longer", func(r *http.Request) (any, error) {
		on, err := strconv.ParseBool(param(r, "on"))
		if err == nil {
			s.SetExpireAllNodes(on)
		}
		return on, err
	})
	handle("POST /node-expiry", "?node=…&in=5s key expiry of one node", withNode(func(k key.NodePublic, r *http.Request) (any, error) {
		d, err := time.ParseDuration(param(r, "in"))
		n := s.Node(k)
		if err != nil || n == nil {
			return nil, fmt.Errorf("in, or unknown node: %v", err)
		}
		n.KeyExpiry = time.Now().Add(d)
		s.UpdateNode(n)
		return n, nil
	}))
	handle("POST /fake", "?n=1000 adds nodes that exist only in the netmap", func(r *http.Request) (any, error) {
		n, err := strconv.Atoi(param(r, "n"))
		for i := 0; err == nil && i < n; i++ {
			s.AddFakeNode()
		}
		return s.NumNodes(), err
	})
	handle("POST /raw", "?node=… body: a tailcfg.MapResponse sent as it is; automatic updates to that node stop", withNode(func(k key.NodePublic, r *http.Request) (any, error) {
		body, err := io.ReadAll(r.Body)
		var mr tailcfg.MapResponse
		if err == nil {
			err = json.Unmarshal(body, &mr)
		}
		if err != nil {
			return nil, err
		}
		return s.AddRawMapResponse(k, &mr), nil
	}))
	handle("POST /ping", "?node=… body: a tailcfg.PingRequest; its URL may be <control>/pong…, which is logged", withNode(func(k key.NodePublic, r *http.Request) (any, error) {
		var pr tailcfg.PingRequest
		if err := json.NewDecoder(r.Body).Decode(&pr); err != nil {
			return nil, err
		}
		return s.AddPingRequest(k, &pr), nil
	}))
	handle("POST /c2n", "?node=…&path=/echo asks the node over its map stream; body and answer pass through", withNode(func(k key.NodePublic, r *http.Request) (any, error) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "POST", "http://node"+param(r, "path"), r.Body)
		if err != nil {
			return nil, err
		}
		res, err := s.NodeRoundTripper(k).RoundTrip(req)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(res.Body)
		return map[string]any{"status": res.StatusCode, "body": string(body)}, err
	}))
	handle("POST /routes", "?node=…&routes=10.1.0.0/16,0.0.0.0/0 approved subnet routes", withNode(func(k key.NodePublic, r *http.Request) (any, error) {
		var ps []netip.Prefix
		for _, t := range strings.FieldsFunc(param(r, "routes"), func(c rune) bool { return c == ',' }) {
			p, err := netip.ParsePrefix(t)
			if err != nil {
				return nil, err
			}
			ps = append(ps, p)
		}
		s.SetSubnetRoutes(k, ps)
		return ps, nil
	}))
	handle("POST /jail", "?node=…&peer=nodekey:…&on=true", withNode(func(k key.NodePublic, r *http.Request) (any, error) {
		var p key.NodePublic
		if err := p.UnmarshalText([]byte(param(r, "peer"))); err != nil {
			return nil, err
		}
		on, err := strconv.ParseBool(param(r, "on"))
		if err == nil {
			s.SetJailed(k, p, on)
		}
		return on, err
	}))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, strings.Join(help, "\n")) })
	return mux
}
