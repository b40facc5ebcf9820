package fault

// docsBase is where the page of each code is; with the code it is the `type` of a problem.
const docsBase = "https://github.com/weir-gateway/weir/blob/main/docs/problems/"

// The table of problems. A new one needs a row in Kinds and a page in docs/problems.
var (
	// What the client sent.
	MalformedRequest   = Kind{"malformed-request", 400, "The request does not follow the HTTP grammar."}
	MalformedBody      = Kind{"malformed-body", 400, "The request's body cannot be read."}
	BadParameter       = Kind{"bad-parameter", 400, "A parameter of the request is missing or wrong."}
	Unauthorized       = Kind{"unauthorized", 401, "The caller could not be authenticated."}
	Forbidden          = Kind{"forbidden", 403, "The caller may not do this."}
	AmbiguousPath      = Kind{"ambiguous-path", 400, "The path can be read in more than one way."}
	RouteNotFound      = Kind{"route-not-found", 404, "No route matches this request."}
	FileNotFound       = Kind{"file-not-found", 404, "There is no such file."}
	MethodNotAllowed   = Kind{"method-not-allowed", 405, "The path exists, but not for this method."}
	NotAcceptable      = Kind{"not-acceptable", 406, "No response is available in a format that the client accepts."}
	RequestTimeout     = Kind{"request-timeout", 408, "The request did not arrive in time."}
	BodyTooLarge       = Kind{"body-too-large", 413, "The request body is larger than this route allows."}
	UnsupportedMedia   = Kind{"unsupported-media-type", 415, "The body has a media type or content coding that this route does not accept."}
	JobNotFound        = Kind{"job-not-found", 404, "There is no such job."}
	ServiceNotFound    = Kind{"service-not-found", 404, "There is no such service."}
	JobState           = Kind{"job-state", 409, "The job's state does not allow this."}
	KeyReused          = Kind{"idempotency-key-reused", 422, "The idempotency key was used for another request."}
	InstanceUnknown    = Kind{"instance-unknown", 404, "No such instance is registered."}
	InstanceInvalid    = Kind{"instance-invalid", 422, "The registration of the instance is not valid."}
	InstanceAddress    = Kind{"instance-address-refused", 403, "An instance may not have this address here."}
	RegistryCompacted  = Kind{"registry-compacted", 410, "The changes since that revision are no longer kept."}
	URLTooLong         = Kind{"url-too-long", 414, "The URL is longer than this gateway allows."}
	ExpectationFail    = Kind{"expectation-failed", 417, "The only supported expectation is 100-continue."}
	Misdirected        = Kind{"misdirected-request", 421, "This connection does not serve that host."}
	HeadTooLarge       = Kind{"head-too-large", 431, "The header is larger, or has more fields, than this gateway allows."}
	VersionUnsupported = Kind{"http-version-not-supported", 505, "This version of HTTP is not supported here."}
	UpgradeRefused     = Kind{"upgrade-refused", 501, "This upgrade is not supported here."}
	UpgradeRequired    = Kind{"upgrade-required", 426, "This resource requires another protocol."}
	NotImplemented     = Kind{"method-not-implemented", 501, "This method is not supported by the gateway."}
	RateLimited        = Kind{"rate-limited", 429, "There are more requests than the limit allows."}
	ConfigRefused      = Kind{"config-refused", 422, "The configuration cannot serve."}
	ConfigChanged      = Kind{"config-changed", 412, "The configuration that serves is not the one that the request names."}
	ConfigUnseen       = Kind{"config-unseen", 428, "The request does not say which configuration it replaces."}
	ConfigNotKept      = Kind{"config-not-kept", 404, "No such configuration is kept."}
	NestedBatch        = Kind{"nested-batch", 400, "A batch cannot be a part of a batch."}
	FailedDependency   = Kind{"failed-dependency", 424, "A part of the batch that this one depends on has failed."}
	LoopDetected       = Kind{"loop-detected", 508, "The request has passed through this gateway too often."}
	ClientGone         = Kind{"client-gone", 499, "The client left before the response."}

	// Problems of the gateway itself.
	Unexpected       = Kind{"unexpected", 500, "Something went wrong inside the gateway."}
	RouteBroken      = Kind{"route-broken", 500, "The route is misconfigured and answers nothing else."}
	AuthUnavailable  = Kind{"auth-unavailable", 503, "The caller cannot be authenticated at the moment."}
	Overloaded       = Kind{"overloaded", 503, "The gateway has as many requests in flight as it allows."}
	QueueFull        = Kind{"queue-full", 503, "Too many requests are waiting to be sent later."}
	QueueUnavailable = Kind{"queue-unavailable", 503, "Requests to be sent later cannot be stored at the moment."}
	RegistryFull     = Kind{"registry-full", 503, "The registry is full."}
	RegistryClosed   = Kind{"registry-closed", 503, "The registry accepts nothing at the moment."}
	MemoryPressure   = Kind{"memory-pressure", 503, "The gateway is short of memory."}
	ShuttingDown     = Kind{"shutting-down", 503, "The gateway is shutting down."}

	// What the backend did.
	NoEndpoint          = Kind{"no-endpoint", 503, "No instance of the backend is available."}
	BackendBusy         = Kind{"backend-busy", 503, "The backend has reached its limit of concurrent requests."}
	BreakerOpen         = Kind{"breaker-open", 503, "Requests to the backend are paused because too many of them failed."}
	BackendUnreachable  = Kind{"backend-unreachable", 502, "The backend could not be reached."}
	BackendForbidden    = Kind{"backend-forbidden", 502, "The address of the backend is not allowed."}
	BackendReset        = Kind{"backend-reset", 502, "The backend closed the connection before it had answered."}
	BackendInvalid      = Kind{"backend-invalid-response", 502, "The backend's response was not valid."}
	BackendTimeout      = Kind{"backend-timeout", 504, "The backend did not answer in time."}
	BackendFault        = Kind{"backend-fault", 502, "The backend answered with a fault."}
	CompositionFailed   = Kind{"composition-failed", 502, "A part of the answer is not available."}
	BatchPartFailed     = Kind{"batch-part-failed", 502, "The response to this part of the batch is not complete."}
	FunctionInit        = Kind{"function-init-failed", 503, "The function could not be started."}
	FunctionBusy        = Kind{"function-busy", 429, "All instances of the function are busy and its queue is full."}
	FunctionQueueTime   = Kind{"function-queue-timeout", 503, "No instance of the function became free in time."}
	FunctionError       = Kind{"function-error", 502, "The function failed."}
	FunctionCrashed     = Kind{"function-crashed", 502, "The function's process ended before it had answered."}
	FunctionTimeout     = Kind{"function-timeout", 504, "The function did not answer in time."}
	FunctionBadResponse = Kind{"function-invalid-response", 502, "The function's answer does not fit its contract."}
	FunctionTooLarge    = Kind{"function-payload-too-large", 413, "The request is larger than the function accepts."}
	FunctionThrottled   = Kind{"function-throttled", 429, "The function's platform accepts no more requests at the moment."}
	FunctionUnavailable = Kind{"function-unavailable", 503, "The function's platform cannot run it at the moment."}
	FunctionRefused     = Kind{"function-refused", 502, "The function's platform refused the call."}
	CredentialsMissing  = Kind{"credentials-unavailable", 503, "The gateway cannot prove to the function's platform who it is."}
)

// Kinds lists every kind, in the order of the table. The caller must not change it.
func Kinds() []Kind {
	return []Kind{
		MalformedRequest, MalformedBody, BadParameter, Unauthorized, Forbidden, AmbiguousPath, RouteNotFound, FileNotFound, MethodNotAllowed, NotAcceptable, RequestTimeout,
		BodyTooLarge, UnsupportedMedia, JobNotFound, ServiceNotFound, JobState, KeyReused, InstanceUnknown, InstanceInvalid, InstanceAddress, RegistryCompacted, URLTooLong, ExpectationFail, Misdirected, HeadTooLarge, VersionUnsupported, UpgradeRefused, UpgradeRequired, NotImplemented, RateLimited, ConfigRefused, ConfigChanged, ConfigUnseen,
		ConfigNotKept, NestedBatch, FailedDependency, LoopDetected, ClientGone,
		Unexpected, RouteBroken, AuthUnavailable, Overloaded, QueueFull, QueueUnavailable, RegistryFull, RegistryClosed, MemoryPressure, ShuttingDown,
		NoEndpoint, BackendBusy, BreakerOpen, BackendUnreachable, BackendForbidden, BackendReset, BackendInvalid, BackendTimeout, BackendFault, CompositionFailed, BatchPartFailed,
		FunctionInit, FunctionBusy, FunctionQueueTime, FunctionError, FunctionCrashed, FunctionTimeout,
		FunctionBadResponse, FunctionTooLarge, FunctionThrottled, FunctionUnavailable, FunctionRefused, CredentialsMissing,
	}
}

// URI is the problem's type: the address of its page.
func (k Kind) URI() string { return docsBase + k.Code + ".md" }
