/*
 * redact.c: keeps keys, tokens and what operations report out of the server's log and out of pg_stat_activity.
 *
 * log_statement and its kin write statements as they came, with the key or the token in it, or beside it as a
 * parameter, and for EXECUTE the prepared statement as a detail. A message in which one of the functions below is
 * named, or a token stands, is cut off there; its detail and its statement go altogether. What the client is told
 * stays as it is. That needs the library: what is written before it is loaded is not seen here.
 */
#include "postgres.h"

#include "commands/prepare.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/elog.h"

#include "redact.h"

static emit_log_hook_type nextHook = NULL;

static const char *const functions[] = {"authenticate", "set_token_key", "add_token_key", "log_operation", "log_operations"};

static void Redact(ErrorData *error);
static bool IsWord(char c);
static int	FunctionLength(const char *text, const char *at);
static bool IsToken(const char *at);
static const char *FindSecret(const char *text);
static const char *SkipSpace(const char *text);
static const char *PreparedText(const char *text);
static bool ExecutesSecret(const char *text);

void
RedactInitialize(void)
{
	nextHook = emit_log_hook;
	emit_log_hook = Redact;
}

/*
 * Take the client's statement out of pg_stat_activity, which sessions of the same login read, when it holds a secret;
 * NULL: in any case.
 */
void
HideStatement(const char *secret)
{
	if (secret == NULL || (debug_query_string && strstr(debug_query_string, secret) != NULL))
		pgstat_report_activity(STATE_RUNNING, "photoflow: a statement with a key or a token in it");
}

static bool
IsWord(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Return the length of the name of such a function, as a word of its own; 0 where there is none. */
static int
FunctionLength(const char *text, const char *at)
{
	for (size_t i = 0; i < lengthof(functions); i++)
	{
		size_t		length = strlen(functions[i]);

		if (pg_strncasecmp(at, functions[i], length) == 0 && !IsWord(at[length]) && (at == text || !IsWord(at[-1])))
			return (int) length;
	}
	return 0;
}

/* A token begins with the brace of a JSON object in base64, and has a dot after its header and its claims. */
static bool
IsToken(const char *at)
{
	for (int dots = 0; dots < 2; dots++)
	{
		const char *part = at;

		while (IsWord(*at))
			at++;
		if (at == part || *at++ != '.' || (dots == 0 && strncmp(part, "ey", 2) != 0))
			return false;
	}
	return true;
}

/* Return where the first such name or token begins, NULL where there is none. */
static const char *
FindSecret(const char *text)
{
	for (const char *at = text; at && *at; at++)
		if (FunctionLength(text, at) > 0 || (*at == 'e' && IsToken(at)))
			return at;
	return NULL;
}

/* Skip white space and comments. */
static const char *
SkipSpace(const char *text)
{
	for (;;)
	{
		const char *end = NULL;

		text += strspn(text, " \t\r\n\f\v");
		if (strncmp(text, "--", 2) == 0)
			end = strchr(text, '\n');
		else if (strncmp(text, "/*", 2) == 0 && (end = strstr(text + 2, "*/")) != NULL)
			end++;
		if (end == NULL)
			return text;
		text = end + 1;
	}
}

/* Return the text that was prepared under the name that begins here; NULL where there is none. */
static const char *
PreparedText(const char *text)
{
	char		name[NAMEDATALEN];
	int			length = 0;
	bool		quoted = *text == '"';
	const PreparedStatement *prepared;

	for (text += quoted; *text && length < NAMEDATALEN - 1; text++)
	{
		if (quoted ? *text == '"' && *++text != '"' : strchr(" \t\r\n\f\v(;/-", *text) != NULL)
			break;
		name[length++] = quoted ? *text : pg_tolower((unsigned char) *text);
	}
	name[length] = '\0';
	prepared = FetchPreparedStatement(name, false);
	return prepared ? prepared->plansource->query_string : NULL;
}

/* Say whether a text executes, also within EXPLAIN or CREATE TABLE AS, a statement in which there is a secret. */
static bool
ExecutesSecret(const char *text)
{
	static const char word[] = "execute";

	for (const char *at = text; at && *at; at++)
		if (pg_strncasecmp(at, word, strlen(word)) == 0 && !IsWord(at[strlen(word)]) && (at == text || !IsWord(at[-1])) &&
			FindSecret(PreparedText(SkipSpace(at + strlen(word)))))
			return true;
	return false;
}

static void
Redact(ErrorData *error)
{
	const char *inMessage = error->output_to_server ? FindSecret(error->message) : NULL;
	bool		executes = error->output_to_server && ExecutesSecret(debug_query_string);

	if (error->output_to_server && (executes || inMessage || FindSecret(error->detail) || FindSecret(error->context) ||
									FindSecret(error->internalquery) || FindSecret(debug_query_string)))
	{
		/* written as QUERY, whatever hide_stmt says */
		error->internalquery = NULL;
		error->internalpos = 0;
		/* where the functions were not reached, or not allowed, they could not hide it */
		if (error->elevel >= ERROR)
			HideStatement(NULL);
		error->hide_stmt = true;
		error->hide_ctx = true;
		if (error->elevel == LOG)
		{
			/* of what is executed, any argument may be the secret */
			const char *shown = inMessage && !executes ? inMessage : strchr(error->message, ':');

			error->message = psprintf("%.*s... (not shown: it may hold a key or a token)",
									  shown ? (int) (shown - error->message) : 0, error->message);
			error->detail = error->detail_log = NULL;
		}
	}
	if (nextHook)
		nextHook(error);
}
