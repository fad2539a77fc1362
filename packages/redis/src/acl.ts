/**
 * All that a Redis user of ours has to be allowed, besides the keys and channels under the prefix: for
 * `ACL SETUSER peerage on >password ~pg:* &pg:* -@all <these>`. SPEC.md KEY3.
 */
export const aclRules: readonly string[] = [
  // Connecting, and asking whether it still is connected.
  '+@connection',
  '+info',
  // Who serves which slot; only a Cluster is asked.
  '+cluster|slots',
  '+cluster|info',
  '+readonly',
  // What is called directly, some of it by scripts as well.
  '+del',
  '+eval',
  '+evalsha',
  '+get',
  '+mget',
  '+scan',
  '+set',
  '+spublish',
  '+ssubscribe',
  '+sunsubscribe',
  // What only the scripts call.
  '+hdel',
  '+hget',
  '+hset',
  '+lindex',
  '+llen',
  '+lrange',
  '+lset',
  '+pexpire',
  '+pexpireat',
  '+rpush',
  '+time',
  '+zadd',
  '+zcard',
  '+zrange',
  '+zrangebylex',
  '+zrangebyscore',
  '+zrank',
  '+zrem',
  '+zremrangebyscore',
  '+zscore',
]
