/*
 * redact.c: keeps keys and tokens out of the server's log.
 *
 * log_statement and its kin write statements as they came, with the key or the token in it, or beside it as a
 * parameter. Such a message is cut off at the first call of one of the functions below and goes without parameters;
 * an error goes to the log without its statement. What the client is told stays as it is. That needs the library:
 * what is written before it is loaded is not seen here.
 */
#include "postgres.h"

#include "tcop/tcopprot.h"
#include "utils/elog.h"

#include "redact.h"

static emit_log_hook_type nextHook = NULL;

static const char *const functions[] = {"authenticate", "set_token_key", "add_token_key"};

static void Redact(ErrorData *error);
static bool IsCall(const char *text);
static const char *FindSecretCall(const char *text);

void
RedactInitialize(void)
{
	nextHook = emit_log_hook;
	emit_log_hook = Redact;
}

/* Say whether a call's parenthesis follows, after a quotation mark and white space perhaps. */
static bool
IsCall(const char *text)
{
	return text[strspn(text, "\" \t\r\n")] == '(';
}

/* Return where the first call of such a function begins, NULL where there is none. */
static const char *
FindSecretCall(const char *text)
{
	for (const char *at = text; at && *at; at++)
		for (size_t i = 0; i < lengthof(functions); i++)
		{
			size_t		length = strlen(functions[i]);

			if (pg_strncasecmp(at, functions[i], length) == 0 && IsCall(at + length))
				return at;
		}
	return NULL;
}

static void
Redact(ErrorData *error)
{
	const char *call = FindSecretCall(error->message);

	if (error->output_to_server && (call || FindSecretCall(debug_query_string)))
	{
		error->hide_stmt = true;
		error->hide_ctx = true;
		if (error->elevel == LOG && call)
			error->message = psprintf("%.*s... (not shown: it may hold a key or a token)",
									  (int) (call - error->message), error->message);
		if (error->elevel == LOG)
			error->detail = error->detail_log = NULL;
	}
	if (nextHook)
		nextHook(error);
}
