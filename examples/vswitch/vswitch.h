/* SPDX-License-Identifier: MIT */
/* A switch for virtual machines: what its files share. */
#ifndef VSWITCH_H
#define VSWITCH_H

#include <virtio-offload.h>
#include <virtio-offload/impl/poll.h>

#include <pthread.h>
#include <stdio.h>

#define MAX_THREADS 64
#define NAME_SIZE 32 /* of a port, with its end */
#define WHY_SIZE 512 /* of a sentence that says what was wrong */
#define DEFAULT_CONTROL "/run/vswitch.sock"

/* What a port may and may not: all that can be changed while it lives. */
struct policy {
	uint32_t flags; /* VIO_SWITCH_* */
	uint16_t vlan;
	bool some;		   /* of a trunk: only those VLANs that are in `vlans` */
	uint64_t vlans[4096 / 64]; /* a bit each */
	char mirror[NAME_SIZE];	   /* "": none */
	struct vio_switch_limit packets, bytes, storm;
	uint32_t addresses;    /* 0: no limit */
	char group[NAME_SIZE]; /* "": none */
};

/* A port as somebody described it. All texts are its own. */
struct spec {
	char name[NAME_SIZE];
	char *what;   /* "tap:tap0": where the port leads, for lists */
	char *socket; /* vhost-user: its path, and the device's arguments */
	char *device;
	char *stack; /* all others: for vio_backend_parse */
	bool client, require_seals;
	struct policy policy;
};

struct conn;
struct control;
struct vswitch;

struct port {
	struct port *next;
	struct vswitch *s;
	struct spec spec;
	unsigned thread; /* its first queues' */
	struct vio_switch_port *port;
	struct vio_backend *backend;	  /* attached to it, or */
	struct vio_dev *dev;		  /* on it */
	struct vio_vhost_user *transport; /* and how a guest gets there */
	bool connected;			  /* a front end is */
	bool leaving;
	struct conn *waiter; /* who wants to hear when it has left */
};

struct options {
	struct spec *ports;
	unsigned nports;
	const char **groups; /* as on the command line */
	unsigned ngroups;
	enum vio_poll_mode mode;
	enum vio_log_level log;
	unsigned threads, stats_seconds, age_seconds, max_ports, max_addresses, max_flows, control_timeout;
	const char *control; /* NULL: no control socket */
};

struct vswitch {
	struct options o;
	struct vio_scope *scope;
	struct vio_switch *sw;
	struct port *ports, **last; /* in the order in which they came */
	unsigned next_thread;
	struct vio_poller *pollers[MAX_THREADS]; /* the first is the main thread's */
	pthread_t threads[MAX_THREADS];
	unsigned running; /* threads, the main one included */
	uint64_t started; /* vio_poller_now */
	struct control *control;
};

/* Stores the sentence and returns -1. */
int refuse(char why[WHY_SIZE], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* One line on stderr, if the level is one that was asked for. */
void say(const struct vswitch *s, enum vio_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* options.c: 0, 1 when all is said (--help), or -1 after a sentence on stderr. */
int options_read(struct options *o, int argc, char **argv);
void options_free(struct options *o);

/* policy.c */
void policy_init(struct policy *p);
/* 1: done; 0: not a key of policies; -1: a wrong value. */
int policy_set(struct policy *p, const char *key, const char *value, char why[WHY_SIZE]);
int policy_apply(const struct policy *p, struct vio_switch_port *port);
/* Takes these limits over. */
void policy_limits(struct policy *p, const struct vio_switch_limits *l);
void policy_put_vlans(const struct policy *p, FILE *to);
void policy_put_rest(const struct policy *p, FILE *to); /* what is not as usual: "isolated packets=1000" */
extern const char policy_help[];

/* groups.c: words are "packets=1M" and the like; those that are not named stay as they are. */
int groups_open(struct vswitch *s, char why[WHY_SIZE]); /* all of the options' */
int group_set(struct vswitch *s, const char *name, char **words, unsigned n, char why[WHY_SIZE]);
int group_del(struct vswitch *s, const char *name, char why[WHY_SIZE]);

/* spec.c */
int spec_read(struct spec *spec, const char *text, char why[WHY_SIZE]);
void spec_free(struct spec *spec);
bool name_is_good(const char *name);

/* threads.c */
int threads_start(struct vswitch *s);
void threads_end(struct vswitch *s);
/* Runs fn on that thread and waits for it. */
void threads_call(struct vswitch *s, unsigned thread, void (*fn)(void *ctx), void *ctx);

/* ports.c. Those that can fail store why. The spec's texts are the port's from then on, in any case. */
int ports_open(struct vswitch *s, char why[WHY_SIZE]); /* all of the options' */
int port_add(struct vswitch *s, struct spec *spec, char why[WHY_SIZE]);
/* 0: it is gone. 1: it leaves, and control_done(waiter) is called when it is gone. */
int port_remove(struct port *p, struct conn *waiter, char why[WHY_SIZE]);
int port_change(struct port *p, const struct policy *to, char why[WHY_SIZE]);
struct port *port_find(struct vswitch *s, const char *name);
/* Takes all ports away and runs the main poller until the last has drained. */
void ports_close(struct vswitch *s);

/* commands.c: what control clients and --stats see. */
enum answer { ANSWER_DONE, ANSWER_REFUSED, ANSWER_LATER };
enum answer command_run(struct vswitch *s, struct conn *from, char *line, FILE *to, char why[WHY_SIZE]);
extern const char commands_help[];

/* show.c */
void show_all(struct vswitch *s, FILE *to, bool json);
void show_ports(struct vswitch *s, FILE *to, bool json);
void show_addresses(struct vswitch *s, FILE *to, bool json);
void show_groups(struct vswitch *s, FILE *to, bool json);
void show_stats(struct vswitch *s, FILE *to, bool json);

/* table.c */
enum column_kind { COLUMN_TEXT, COLUMN_NUMBER, COLUMN_HIDDEN /* a number, for programs only */ };
struct column {
	const char *title; /* upper case for people, lower case for programs */
	enum column_kind kind;
};
struct table;
struct table *table_new(const struct column *columns, unsigned n);
/* The next cell, row by row. */
void table_put(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_number(struct table *t, uint64_t n);
/* Prints it, as an array of objects if json; then frees it. */
void table_end(struct table *t, FILE *to, bool json);
void json_text(FILE *to, const char *text);

/* control.c */
int control_open(struct vswitch *s, char why[WHY_SIZE]);
void control_close(struct vswitch *s);
/* The command that was ANSWER_LATER has ended. */
void control_done(struct conn *conn);

/* ctl.c: the client; an exit status. */
int ctl(int argc, char **argv);

#endif
