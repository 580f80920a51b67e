package main

import (
	"os"
	"os/signal"
	"syscall"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/sallyport-gateway/sallyport/cmd/sallyport/internal/demo"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "demo",
		Usage: "[--check] [--port <port>] [--verbose]",
		Short: "Shows the gateway between an identity provider and an old application, on loopback",
		Long: `Runs three servers on loopback in this one process: an OpenID provider with two
people, an application of 2004 that believes the header SM_USER, and the gateway
between them, configured by the Caddyfile of examples/quickstart, which is
printed. Open the printed address and sign in. Ctrl-C ends everything; nothing
is left behind.

--check walks through it by HTTP as a browser would, prints each step and exits
with 0 if all of them went well and with 1 if not.`,
		CobraFunc: func(cmd *cobra.Command) {
			var o demo.Options
			cmd.Flags().BoolVar(&o.Check, "check", false, "Walk through the demo and exit")
			cmd.Flags().IntVar(&o.Port, "port", 0, "Port of the gateway (default: 8080, or another if that is taken)")
			cmd.Flags().BoolVar(&o.Verbose, "verbose", false, "Print the gateway's log, the audit trail included")
			cmd.Args = cobra.NoArgs
			cmd.RunE = func(cmd *cobra.Command, _ []string) error {
				ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
				defer stop()
				o.Out, o.Err = cmd.OutOrStdout(), cmd.ErrOrStderr()
				return demo.Run(ctx, o)
			}
		},
	})
}
