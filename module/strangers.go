package module

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Whoever sends messages to our addresses without having proved anything writes
// nothing into the trail: they are counted (I25). The log has them, so that the id
// on the page leads to why; beyond so many a minute only at debug level.
const strangersPerMinute = 30

// quietly is a log that takes so many lines of each kind a minute.
func quietly(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Minute, strangersPerMinute, 0)
	}))
}

// countStranger counts a refusal and returns the id for its answer.
func (v *visit) countStranger(reason flows.Reason, err error) string {
	a, id := v.app, newID()
	a.shared.metrics.denials.WithLabelValues(a.shared.metrics.reason(reason)).Inc()
	const msg = "message refused"
	fields := []zap.Field{
		zap.String("id", id), zap.String("reason", string(reason)), zap.String("client_ip", v.ip()),
		zap.String("host", v.place.host), zap.String("path", v.r.URL.Path), zap.Error(err),
	}
	if line := a.strangers.Check(zap.WarnLevel, msg); line != nil {
		line.Write(fields...)
	} else {
		a.log.Debug(msg, fields...)
	}
	return id
}

// refuseStranger answers who proved nothing as a page or JSON.
func (v *visit) refuseStranger(status int, reason flows.Reason, err error) error {
	v.showError(status, reason, "", v.countStranger(reason, err))
	return nil
}

// refuseMachine answers a provider's own server, or a frame of its page.
func (v *visit) refuseMachine(status int, err error) error {
	return v.json(status, map[string]any{"error": "invalid_request", "id": v.countStranger(flows.ReasonInvalidAnswer, err)})
}
